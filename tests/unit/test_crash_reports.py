"""Crash reports: which are kept, which one is the last, where they are, and which secrets are hidden."""

from __future__ import annotations

from pathlib import Path

import pytest

from zeekfleet.model.launch import LaunchSpec
from zeekfleet.stem.protocol import Exited
from zeekfleet.supervisor.crash import CrashReports, CrashSettings
from zeekfleet.supervisor.records import Recurrence, exit_of
from zeekfleet.supervisor.redaction import REDACTED, redact_command, redact_environment
from zeekfleet.system.crash_reports import reports_below

AT = 1_800_000_000.0


def end(name: str, pid: int = 7, at: float = AT) -> Exited:
    return Exited(
        name=name,
        pid=pid,
        start_time=1,
        code=3,
        signal=None,
        core_dumped=False,
        requested=False,
        revive_in=0.0,
        failed=False,
        stdout_offset=0,
        stdout_end=0,
        stderr_offset=0,
        stderr_end=0,
        at=at,
    )


def written(reports: CrashReports, event: Exited) -> Path:
    spec = LaunchSpec(event.name, ("true",), {}, "/", "/dev/null", "/dev/null")
    found = reports.write(spec, event, exit_of(event, Recurrence()))
    assert found is not None
    return found[0]


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    reports = CrashReports(tmp_path, CrashSettings(count=1))
    home = tmp_path / "crashes" / "a"
    home.mkdir(parents=True)
    (home / "zzz").symlink_to("/nonexistent")
    (home / "20000101T000000Z-1").symlink_to("/nonexistent")
    (home / "notes").write_text("mine")
    first = written(reports, end("a", 1))
    second = written(reports, end("a", 2))
    assert reports.last("a") == str(second)
    assert not first.exists()
    assert (home / "zzz").is_symlink()
    assert (home / "notes").read_text() == "mine"


def test_a_directory_that_vanishes_costs_only_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports = CrashReports(tmp_path, CrashSettings(count=1))
    written(reports, end("a", 1))

    def vanishing(home: Path) -> list[Path]:
        return [*reports_below(home), home / "20000101T000000Z-1"]

    monkeypatch.setattr("zeekfleet.supervisor.crash.reports_below", vanishing)
    assert written(CrashReports(tmp_path, CrashSettings(count=3)), end("a", 2)).is_dir()


def test_of_two_reports_in_a_second_the_higher_pid_is_the_last(tmp_path: Path) -> None:
    reports = CrashReports(tmp_path, CrashSettings())
    written(reports, end("a", 10000))
    written(reports, end("a", 9999))
    assert reports.last("a").endswith("-10000")


@pytest.mark.parametrize("name", ["..", ".", "", "a/../../b", "/etc"])
def test_no_report_is_outside_the_directory(tmp_path: Path, name: str) -> None:
    state = tmp_path / "state"
    reports = CrashReports(state, CrashSettings(count=1))
    for directory in ("nodes", "stem"):
        (state / directory).mkdir(parents=True)
    report = written(reports, end(name))
    assert report.parent.parent == state / "crashes"
    assert report.resolve() == report
    written(reports, end(name, 8))
    assert sorted(path.name for path in state.iterdir()) == ["crashes", "nodes", "stem"]


def test_reports_are_private(tmp_path: Path) -> None:
    report = written(CrashReports(tmp_path, CrashSettings()), end("a"))
    for directory in (report, report.parent, report.parent.parent):
        assert directory.stat().st_mode & 0o777 == 0o700


def test_variables_with_secrets_are_hidden() -> None:
    secrets = {"DB_PWD", "MYSQL_PWD", "mysql_pwd", "API_KEY", "SNMP_COMMUNITY", "snmp_community"}
    plain = {"PWD": "/a", "OLDPWD": "/b", "HOME": "/"}
    assert redact_environment({**plain, **dict.fromkeys(secrets, "x")}) == {**plain, **dict.fromkeys(secrets, REDACTED)}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("postgres://u:hidden@db/x", f"postgres://u:{REDACTED}@db/x"),
        ("postgres://u:hid/den@db/x", f"postgres://u:{REDACTED}@db/x"),
        ("redis://:hid@den@h:1/0", f"redis://:{REDACTED}@h:1/0"),
        ("-Dx=1 -Ddb.password=hidden", f"-Dx=1 -Ddb.password={REDACTED}"),
        ("http://proxy:3128/", None),
        ("/usr/bin:/bin", None),
        ("you@host", None),
    ],
)
def test_secrets_within_variables_are_hidden(value: str, shown: str | None) -> None:
    assert redact_environment({"DBURL": value}) == {"DBURL": value if shown is None else shown}


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["p", "--password", "hidden", "x"], ["p", "--password", REDACTED, "x"]),
        (["p", "-password", "hidden"], ["p", "-password", REDACTED]),
        (["p", "--token", "-hidden"], ["p", "--token", REDACTED]),
        (["p", "--no-auth", "--verbose"], ["p", "--no-auth", "--verbose"]),
        (["p", "password=hidden it is"], ["p", f"password={REDACTED}"]),
        (["p", "--api-token=hidden"], ["p", f"--api-token={REDACTED}"]),
        (["p", "host=db password=hidden port=1"], ["p", f"host=db password={REDACTED} port=1"]),
        (["curl", "-H", "Authorization: Bearer hidden"], ["curl", "-H", f"Authorization: {REDACTED}"]),
        (["sh", "-c", "curl -H 'X-Api-Key: hidden' u"], ["sh", "-c", f"curl -H 'X-Api-Key: {REDACTED}' u"]),
        (["sh", "-c", "tool --password hidden -v"], ["sh", "-c", f"tool --password {REDACTED} -v"]),
        (["p", "amqp://me:hidden@host/x"], ["p", f"amqp://me:{REDACTED}@host/x"]),
        (["zeek", "-i", "eth0", "local", "Log::default_rotation_interval=1"], None),
        (["sh", "-c", "cd $PWD; echo a: b"], None),
    ],
)
def test_command_lines(argv: list[str], shown: list[str] | None) -> None:
    assert list(redact_command(argv)) == (argv if shown is None else shown)
