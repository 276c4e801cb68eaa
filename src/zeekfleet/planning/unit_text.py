"""The text of systemd's unit files: values escaped, sections laid out. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from zeekfleet.errors import UnitFileError

_SIMPLE = re.compile(r"[\w@%+=:,./~\\$-]+", re.ASCII)
"""Words that need no quotes once they are escaped."""

_NEVER_IN_PROGRAMS = "\"'\\"
"""Characters that systemd refuses in the path of a program, even if they are escaped."""


def escaped(text: str, *, variables: bool = False) -> str:
    """One word of a unit file that means exactly this text.

    Args:
        text: any text on one line.
        variables: whether systemd replaces environment variables in this word. It does so in the arguments of
            ``ExecStart=``, but not in the program or in a path.

    Raises:
        UnitFileError: it has a line break or another control character, or is not UTF-8; no unit file can hold that.
    """
    if any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in text):
        raise UnitFileError(f"{text!r} cannot stand in a unit file: it has a control character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UnitFileError(f"{text!r} cannot stand in a unit file: it is not UTF-8") from None
    word = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    if variables:
        word = word.replace("$", "$$")
    return word if _SIMPLE.fullmatch(word) else f'"{word}"'


def command(words: Sequence[str]) -> str:
    """The value of ``ExecStart=`` for a program and its arguments.

    Raises:
        UnitFileError: one of them cannot stand in a unit file.
    """
    program, *arguments = words
    if unfit := sorted({*program} & {*_NEVER_IN_PROGRAMS}):
        raise UnitFileError(f"{program} cannot be run by systemd: its path has {' and '.join(unfit)}")
    return " ".join((escaped(program), *(escaped(word, variables=True) for word in arguments)))


def section(name: str, *parts: Iterable[str]) -> str:
    """A section. Each part is a series of lines; parts are separated by an empty line, and empty parts left out."""
    blocks = ["\n".join(lines) for part in parts if (lines := list(part))]
    return f"[{name}]\n" + "\n\n".join(blocks) + "\n"
