"""What the verbs' results for people are made of: tables, notes, and problems; pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import msgspec

GOOD, BAD, BUSY, FAINT = "green", "bold red", "yellow", "dim"
"""Tones of cells and notes, by what rich calls them; plain text has none."""


class Cell(msgspec.Struct, frozen=True):
    """A text and its tone."""

    text: str
    tone: str = ""


class Table(msgspec.Struct, frozen=True):
    """Rows of cells under headings.

    Attributes:
        columns: the headings.
        rows: a cell a column each.
        essential: how many columns, from the left, stay whole on a terminal that is too narrow, while the others
            give way from the right; 0: all stay, and long texts are folded.
        widths: what the columns are at least wide, so that a table can go on below another; empty: as they need.
        heading: whether the headings are shown.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    essential: int = 0
    widths: tuple[int, ...] = ()
    heading: bool = True


class Note(msgspec.Struct, frozen=True):
    """Lines of text beside the tables.

    Attributes:
        text: the lines.
        tone: see there.
        is_problem: whether it says what went wrong, and so belongs on stderr.
    """

    text: str
    tone: str = ""
    is_problem: bool = False


View = Sequence[Table | Note]


def problem(sentence: str) -> Note:
    """What went wrong, as a line for stderr."""
    return Note(f"error: {sentence}", BAD, is_problem=True)


def printable(text: str) -> str:
    """The text without what could steer a terminal: control characters but line breaks and tabs are shown as code."""
    if text.isprintable():
        return text
    return "".join(
        character
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs")
        else _code(character)
        for character in text
    )


def flat(text: str) -> str:
    """The same in one line."""
    return " ".join(printable(text).split("\n")).replace("\t", " ")


def _code(character: str) -> str:
    return f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"
