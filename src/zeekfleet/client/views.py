"""What the verbs' results for people are made of: tables, notes, and problems; pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from zeekfleet.model.types import Port

GOOD, BAD, BUSY, FAINT = "green", "bold red", "yellow", "dim"
"""Tones of cells and notes, named as rich names them; plain text has none."""


class Cell(msgspec.Struct, frozen=True):
    """A text and its tone."""

    text: str
    tone: str = ""


class Table(msgspec.Struct, frozen=True):
    """Rows of cells under headings.

    Attributes:
        columns: the headings.
        rows: a cell a column each.
        essential: how many columns, from the left, stay if the terminal is too narrow, while others are left out from
            the right; 0: all stay, and long texts are folded.
        widths: the least widths of the columns, so that a table can continue another one; empty: as wide as needed.
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
        tone: one of the tones above, or ``""``.
        is_problem: whether it says what went wrong, and so belongs on stderr.
    """

    text: str
    tone: str = ""
    is_problem: bool = False


View = Sequence[Table | Note]

ABSENT = Cell("-", FAINT)
"""What there is none of, or what nobody knows."""


def problem(sentence: str) -> Note:
    """What went wrong, as a line for stderr."""
    return Note(f"error: {sentence}", BAD, is_problem=True)


def port_cell(port: Port | None) -> Cell:
    """A port's number."""
    return ABSENT if port is None else Cell(str(port.number))
