"""``zeekfleet systemd``, judged by systemd itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from zeekfleet.cli.main import main
from zeekfleet.daemon import service_unit
from zeekfleet.planning.systemd_unit import Service, unit_file

LARGEST_EXPOSURE = 30
"""In tenths."""

OFFLINE_SINCE = 250
"""The first systemd that judges the security of a unit that it does not run."""

DAEMONS = ("agent", "controller", "up")
OPTIONS = ((), ("--no-capture",), ("--user", "root"))


@pytest.fixture
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze is not installed here")
    return found


@pytest.fixture(autouse=True)
def _anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """This zeekfleet may be below /tmp or in a home directory, where a service would not find it."""
    monkeypatch.setattr(service_unit, "TEMPORARY", ())
    monkeypatch.setattr(service_unit, "HOMES", ())


def analysed(*command: str) -> str:
    """What systemd-analyze has to say; it must not fail."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def installed(directory: Path, *words: str) -> Path:
    assert main(["systemd", "install", *words, "--directory", str(directory)]) == 0
    return directory / f"zeekfleet-{words[0]}.service"


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
@pytest.mark.parametrize("daemon", DAEMONS)
def test_units_are_clean_and_confined(analyze: str, tmp_path: Path, daemon: str, options: tuple[str, ...]) -> None:
    unit = installed(tmp_path, daemon, *options)
    assert analysed(analyze, "verify", str(unit)) == ""
    if service_unit.installed_version() < OFFLINE_SINCE:
        pytest.skip("this systemd judges units only that run")
    analysed(analyze, "security", "--no-pager", "--offline=yes", f"--threshold={LARGEST_EXPOSURE}", str(unit))


def test_units_of_daemons_that_keep_nodes(analyze: str, tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text(
        "[supervisor]\non_exit = 'keep'\n[common]\nstate_dir = '/data 1/zf'\nspool_dir = '/data 1/zf/spool'\n"
    )
    unit = installed(tmp_path, "agent", "--settings", str(tmp_path / "agent.toml"))
    assert analysed(analyze, "verify", str(unit)) == ""


@pytest.mark.parametrize("name", ["a b", "100%h", "$HOME", "${HOME}", ";", "#", "süd"])
def test_systemd_reads_values_as_they_were_meant(analyze: str, tmp_path: Path, name: str) -> None:
    """If the program's path were read otherwise, there would be no such program."""
    program = tmp_path / name / "zeekfleet"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    service = Service(name="agent", command=(str(program), "agent", name), user="root", writable=(f"/{name}",))
    unit = tmp_path / service.unit
    unit.write_text(unit_file(service, service_unit.installed_version()))
    assert analysed(analyze, "verify", str(unit)) == ""


def test_a_key_that_systemd_does_not_know_would_be_found(analyze: str, tmp_path: Path) -> None:
    unit = installed(tmp_path, "agent")
    unit.write_text(unit.read_text().replace("ProtectSystem=", "ProtectSystems="))
    assert "ProtectSystems" in analysed(analyze, "verify", str(unit))
