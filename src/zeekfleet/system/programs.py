"""Finds out why the system did not run a program."""

from __future__ import annotations

import os
from errno import EACCES, ENOENT, ENOEXEC
from shutil import which

_MOST_FOUND = 1000
_found: dict[tuple[str, str], str] = {}
"""Where programs were found, by name and PATH."""

_FIRST_LINE = 256
"""Bytes at the beginning of a script that the kernel reads."""


def missing_on_path(path: str | None = None) -> str:
    """The reason that a program is not on PATH, as part of a sentence."""
    return f"not found on PATH ({os.environ.get('PATH', os.defpath) if path is None else path})"


def find(name: str, path: str) -> str:
    """A program's path: looked for on PATH if the name has no slash.

    Raises:
        FileNotFoundError: it is nowhere.
    """
    if "/" in name:
        return name
    found = _found.get((name, path))
    if found is None or not os.access(found, os.X_OK):
        found = which(name, path=path)
        if found is None:
            raise FileNotFoundError(ENOENT, missing_on_path(path), name)
        if len(_found) >= _MOST_FOUND:
            _found.clear()
        _found[name, path] = found
    return found


def refusal(program: str, number: int) -> str:
    """Why the system did not run a program, as part of a sentence.

    For a script whose interpreter is missing, the system only says "no such file", although the script is there. This
    says what is missing.

    Args:
        program: its path, or a name without a slash that was looked for on PATH.
        number: the system's error number.
    """
    if "/" not in program:
        found = which(program)
        if found is None:
            return missing_on_path() if number == ENOENT else os.strerror(number)
        program = found
    if number == ENOENT and os.path.exists(program):  # noqa: PTH110 - quick
        return _missing_interpreter(program)
    if number == ENOEXEC:
        return "it is no program for this machine, and no script that begins with #! and its interpreter"
    if number == EACCES and os.path.isdir(program):  # noqa: PTH112
        return "it is a directory"
    if number == EACCES and not os.access(program, os.X_OK):
        return f"{os.strerror(number)}, it is not executable for us"
    return os.strerror(number)


def _missing_interpreter(program: str) -> str:
    try:
        with open(program, "rb") as stream:  # noqa: PTH123
            line = stream.read(_FIRST_LINE).split(b"\n")[0]
    except OSError:
        return "its interpreter, or what loads it, does not exist"
    words = line.removeprefix(b"#!").strip(b" \t").split()
    if not line.startswith(b"#!") or not words:
        return "what loads it does not exist: it is a program for another system"
    interpreter = words[0].decode(errors="replace")
    if line.endswith(b"\r") and len(words) == 1:
        return f"its interpreter '{interpreter}\\r' does not exist: its lines end as on Windows, in a carriage return"
    return f"its interpreter '{interpreter}' does not exist"
