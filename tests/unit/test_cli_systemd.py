"""``zeekfleet systemd``: what it prints and writes, and what to do next."""

from __future__ import annotations

from pathlib import Path

import pytest

from zeekfleet.cli import systemd
from zeekfleet.cli.main import main
from zeekfleet.daemon import service_unit

RELEASE = ("--systemd", "252")


@pytest.fixture(autouse=True)
def _anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests have their files in /tmp, and this zeekfleet may be in a home directory."""
    monkeypatch.setattr(service_unit, "TEMPORARY", ())
    monkeypatch.setattr(service_unit, "HOMES", ())


def test_print_shows_what_install_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["systemd", "print", "controller", *RELEASE]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("# Made by 'zeekfleet systemd'.")
    assert main(["systemd", "install", "controller", *RELEASE, "--directory", str(tmp_path)]) == 0
    assert (tmp_path / "zeekfleet-controller.service").read_text() == shown


def test_install_tells_what_to_do_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["systemd", "install", "controller", *RELEASE, "--user", "root", "--directory", str(tmp_path)]
    unit = tmp_path / "zeekfleet-controller.service"
    what_next = "Next:\n  systemctl daemon-reload\n  systemctl enable --now zeekfleet-controller.service\n"
    assert main(words) == 0
    assert capsys.readouterr().out == f"{unit} is written\n{what_next}"
    assert main(words) == 0
    assert capsys.readouterr().out == f"{unit} is as it should be\n{what_next}"


def test_another_unit_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["systemd", "install", "controller", *RELEASE, "--directory", str(tmp_path)]
    unit = tmp_path / "zeekfleet-controller.service"
    unit.write_text("mine")
    assert main(words) == 1
    assert capsys.readouterr().err == (
        f"error: {unit} differs from what would be written, which 'print' shows: --force replaces it\n"
    )
    assert unit.read_text() == "mine"
    assert main([*words, "--force"]) == 0
    assert unit.read_text() != "mine"


def test_the_usual_settings_file_counts_if_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(systemd, "SETTINGS", f"{tmp_path}/{{}}.toml")
    assert main(["systemd", "print", "controller", *RELEASE]) == 0
    assert "--settings" not in capsys.readouterr().out
    (tmp_path / "controller.toml").write_text("")
    assert main(["systemd", "print", "controller", *RELEASE]) == 0
    assert f"zeekfleet controller --settings {tmp_path}/controller.toml\n" in capsys.readouterr().out


def test_a_configuration_is_for_up_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["systemd", "print", "agent", "c.ini", *RELEASE]) == 1
    assert capsys.readouterr().err == "error: INI: applies with 'up' only\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["agent", "--systemd", "219"], "systemd 219 is too old: units are made for 239 and later"),
        (["agent", "--settings", "/no/such.toml"], "/no/such.toml: cannot be read: No such file or directory"),
        (["agent", "--user", "a b"], "--user: expected the name or the number of a user, not 'a b'"),
    ],
)
def test_a_mistake_is_one_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-q", "systemd", "print", *words, *([] if "--systemd" in words else RELEASE)]) == 1
    assert capsys.readouterr() == ("", f"error: {sentence}\n")
