"""The daemons' options: shown in groups with defaults and choices, and refused where they do nothing."""

from __future__ import annotations

import argparse
import re

import pytest

from zeekfleet.cli.daemon_options import SECTIONS, add_options, resolve_options
from zeekfleet.cli.main import main
from zeekfleet.errors import SettingsError
from zeekfleet.resolution import Declaration, declarations
from zeekfleet.settings import Settings

DAEMONS = sorted(SECTIONS)
NO_DEFAULT = {
    f"{role}.tls_{file}" for role in ("controller", "agent") for file in ("certificate", "key", "ca", "revoked")
} | {*("archive.directory", "archive.command", "common.allow_user", "common.server_name")}
NO_DEFAULT |= {"supervisor.node_user", "supervisor.node_group"}


def parser(daemon: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="zeekfleet")
    add_options(made, SECTIONS[daemon])
    return made


def resolve(daemon: str, *words: str) -> None:
    resolve_options(parser(daemon).parse_args(words))


@pytest.mark.parametrize("daemon", DAEMONS)
def test_every_option_is_in_a_group_of_readable_size(daemon: str) -> None:
    groups = parser(daemon)._action_groups
    sizes = {str(group.title): len(group._group_actions) for group in groups if group._group_actions}
    assert max(sizes.values()) <= 12, sizes
    listed = [name for group in groups for action in group._group_actions for name in action.option_strings]
    assert len(listed) == len(set(listed))
    assert set(listed) >= {setting.options(SECTIONS[daemon])[0] for setting in declarations(SECTIONS[daemon])}


@pytest.mark.parametrize("setting", [*declarations(SECTIONS["up"])], ids=lambda setting: str(setting.key))
def test_every_option_shows_its_default_and_its_possible_values(setting: Declaration) -> None:
    option = setting.options(SECTIONS["up"])[0]
    action = parser("up")._option_string_actions[option]
    value = getattr(getattr(Settings(), setting.section), setting.name)
    shown = re.search(r" \(default: (.*?)\)( \[\w+\])?$", str(action.help))
    if setting.key in NO_DEFAULT:
        assert (shown, value) == (None, "")
        return
    if setting.setting.flag:
        assert (shown, value, action.nargs) == (None, False, 0)
        return
    assert shown is not None, action.help
    beside = ["--archive-command=x"] if setting.key == "archive.interval" else []  # without, it is refused

    def given(text: str) -> object:
        resolved = resolve_options(parser("up").parse_args(["--engine=auto", *beside, f"{option}={text}"]))
        return getattr(getattr(resolved.settings, setting.section), setting.name)

    assert given(shown[1]) == value
    if (choices := str(action.metavar)).startswith("{"):
        for choice in choices.strip("{}").split(","):
            given(choice)


def test_usage_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "up"]) == 0
    assert capsys.readouterr().out.startswith("usage: zeekfleet up [OPTIONS] [INI]\n\n")


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("--archive no --archive-compression zstd", "--archive-compression"),
        ("--archive no --log-dir /x", "--log-dir"),
        ("--archive-interval 5", "--archive-interval"),
        ("--archive-command x --archive-compression none", "--archive-compression"),
        ("--backend broker --zeromq-xpub-port 5000", "--zeromq-xpub-port"),
        ("--engine sim --backend broker", "--backend"),
        ("--revival no --revival-factor 3", "--revival-factor"),
        ("--crash-reports 0 --crash-days 3", "--crash-days"),
        ("--health-interval 0 --health-misses 3", "--health-misses"),
        ("--auto-assign-ports no --auto-assign-start-port 3000", "--auto-assign-start-port"),
        ("--auto-assign-metrics-ports no --auto-assign-metrics-start-port 3000", "--auto-assign-metrics-start-port"),
    ],
)
def test_an_option_that_does_nothing_is_refused(line: str, option: str) -> None:
    with pytest.raises(SettingsError, match=f"{option}: does not apply: it only counts where"):
        resolve("up", *line.split())


@pytest.mark.parametrize(
    "line",
    [
        "--archive no",
        "--archive-command x --archive-interval 5 --archive-expire-days 3",
        "--revival no --crash-days 3",
        "--auto-assign-ports no --auto-assign-metrics-start-port 3000",
        "--engine sim --nice 5",
    ],
)
def test_options_that_apply_are_accepted(line: str) -> None:
    resolve("up", *line.split())


def test_a_variable_that_does_nothing_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEEKFLEET_ZEROMQ_XPUB_PORT", "5000")
    resolve("up", "--backend", "broker")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("up --lax", "--lax: applies with INI only"),
        ("up --allow-empty", "--allow-empty: applies with INI only"),
        ("up --pcap t --lax", "--lax: applies with INI only"),
        ("up cluster.ini --pcap t", "--pcap: makes a configuration of its own"),
        ("up --pcap t --log-dir x", "--log-dir: does not apply to a trace"),
        ("up --pcap t --rotation-interval 5", "--rotation-interval: does not apply to a trace"),
        ("up --pcap t --on-exit keep", "--on-exit: does not apply to a trace"),
        ("up --pcap t --health-interval 5", "--health-interval: does not apply to a trace"),
    ],
)
def test_options_of_up_go_with_what_is_asked_for(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 1
    assert capsys.readouterr().err.startswith(f"error: {said}")


def test_stop_has_the_options_that_say_where(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "stop"]) == 0
    told = capsys.readouterr().out
    assert "--state-dir" in told
    assert main(["stop", "--frame-limit", "65536"]) == 2
    assert capsys.readouterr().err == "error: unknown option '--frame-limit'; see 'zeekfleet help stop'\n"
