"""Finds a Zeek on this host, and its version and script path."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import msgspec

from zeekfleet.errors import ConfigurationError
from zeekfleet.planning.zeek_versions import OLDEST, ZeekVersion, text_of
from zeekfleet.system.programs import refusal

ASK_TIMEOUT = 30.0
_VERSION = re.compile(r"version ((\d+)\.(\d+)(?:\.(\d+))?\S*)")


class Installation(msgspec.Struct, frozen=True):
    """A Zeek that can be launched.

    Attributes:
        program: the absolute path of ``zeek``.
        version: major, minor and patch number; a release candidate has those of the release.
        version_text: the whole version, such as ``9.0.0-rc1``.
        zeekpath: its script path.
    """

    program: str
    version: ZeekVersion
    version_text: str
    zeekpath: str


def on_path(search_path: str | None = None) -> str | None:
    """The absolute path of the ``zeek`` on PATH (or ``search_path``), or None."""
    found = shutil.which("zeek", path=search_path)
    return str(Path(found).absolute()) if found else None


def find(search_path: str | None = None) -> Installation:
    """The Zeek on PATH (or ``search_path``).

    Raises:
        ConfigurationError: there is no Zeek, or it cannot be used.
    """
    program = on_path(search_path)
    if program is None:
        raise ConfigurationError("engine 'zeek' was asked for, but there is no zeek on PATH")
    return examine(program)


def examine(program: str) -> Installation:
    """Ask a Zeek for its version and its script path.

    Raises:
        ConfigurationError: it does not run, is too old, or its ``zeek-config`` is missing.
    """
    answer = _ask(program, "--version")
    found = _VERSION.search(answer)
    if found is None:
        raise ConfigurationError(f"{program} is no Zeek: it gives its version as '{answer.strip()[:100]}'")
    version = (int(found[2]), int(found[3]), int(found[4] or 0))
    if version < OLDEST:
        raise ConfigurationError(f"{program} is Zeek {found[1]}, too old: {text_of(OLDEST)} or later is needed")
    config = Path(program).with_name("zeek-config")
    tool = str(config) if config.is_file() else shutil.which("zeek-config")
    if tool is None:
        raise ConfigurationError(f"zeek-config, which tells the script path, is neither beside {program} nor on PATH")
    zeekpath = _ask(tool, "--zeekpath").strip()
    if not zeekpath:
        raise ConfigurationError(f"{tool} --zeekpath tells no script path")
    return Installation(program, version, found[1], zeekpath)


def _ask(program: str, question: str) -> str:
    try:
        done = subprocess.run(
            (program, question), capture_output=True, text=True, errors="replace", timeout=ASK_TIMEOUT, check=False
        )
    except OSError as error:
        raise ConfigurationError(f"{program} cannot be run: {refusal(program, error.errno or 0)}") from error
    except subprocess.TimeoutExpired:
        raise ConfigurationError(f"'{program} {question}' did not end within {ASK_TIMEOUT:g} s") from None
    if done.returncode:
        raise ConfigurationError(f"'{program} {question}' failed with status {done.returncode}: {done.stderr[:200]}")
    return done.stdout + done.stderr
