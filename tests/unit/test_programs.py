"""Why a program did not run: texts that are clearer than the system's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from zeekfleet.archive.command import run
from zeekfleet.system.programs import refusal


def refused(program: Path | str) -> str:
    """Our text for the system's error when the program is run."""
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is what counts
        subprocess.run([str(program)], check=False)
    assert caught.value.errno
    return refusal(str(program), caught.value.errno)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            b"#!/bin/sh\r\nexit 0\r\n",
            r"its interpreter '/bin/sh\r' does not exist: its lines end as on Windows, in a carriage return",
        ),
        (b"#!/no/such/python -P\nexit\n", "its interpreter '/no/such/python' does not exist"),
        (b"exit 0\n", "it is no program for this machine, and no script that begins with #! and its interpreter"),
    ],
)
def test_a_script_that_cannot_be_run(content: bytes, reason: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_bytes(content)
    script.chmod(0o755)
    assert refused(script) == reason


def test_files_that_are_not_programs(tmp_path: Path) -> None:
    assert refused(tmp_path) == "it is a directory"
    assert refused(tmp_path / "nothing") == "No such file or directory"
    (tmp_path / "file").touch(mode=0o600)
    assert refused(tmp_path / "file") == "Permission denied, it is not executable for us"
    assert refused("no-such-program") == f"not found on PATH ({os.environ['PATH']})"


async def test_an_archive_command_is_named_with_its_setting(tmp_path: Path) -> None:
    script = tmp_path / "archiver"
    script.write_bytes(b"#!/bin/sh\r\n")
    script.chmod(0o755)
    assert await run((str(script),)) == (
        rf"archive.command: '{script}' cannot be run: its interpreter '/bin/sh\r' does not exist:"
        " its lines end as on Windows, in a carriage return"
    )
