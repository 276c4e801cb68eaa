"""The parts of what verbs show to people: tables, notes, and problems; pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from zeekfleet.model.types import Port

GOOD, BAD, BUSY, FAINT = "green", "bold red", "yellow", "dim"
"""The tones (colours) of cells and notes; plain text has none."""


class Cell(msgspec.Struct, frozen=True):
    """A text and its tone."""

    text: str
    tone: str = ""


class Table(msgspec.Struct, frozen=True):
    """Rows of cells under headings.

    Attributes:
        columns: the headings.
        rows: the rows, each with a cell for each column.
        essential: if the terminal is too narrow, columns are left out from the right until only so many are left; 0:
            all columns stay, and long texts are folded.
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
"""The cell for a value that is absent or unknown."""


def problem(sentence: str) -> Note:
    """A note for stderr that says what went wrong."""
    return Note(f"error: {sentence}", BAD, is_problem=True)


def port_cell(port: Port | None) -> Cell:
    """A port's number."""
    return ABSENT if port is None else Cell(str(port.number))
