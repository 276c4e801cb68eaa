"""Turns views into text: aligned columns; for a terminal also coloured and no wider than the terminal. Pure."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator, Sequence

from zeekfleet.client.views import FAINT, Cell, Table, View
from zeekfleet.model.texts import one_line, printable

GAP = "  "
NARROWEST = 12
"""The least width, in cells, of a column whose texts are folded."""

_STYLES = {"green": "32", "bold red": "1;31", "yellow": "33", "dim": "2", "bold": "1"}
_HEADING = "bold"


def plain_text(view: View) -> str:
    """The view without colour, of any width, with a final line break."""
    return _text(view, None, in_colour=False)


def terminal_text(view: View, width: int, *, in_colour: bool = True) -> str:
    """The view for a terminal of that many cells.

    If a table is too wide, columns are left out from the right, except its ``essential`` ones, and a line
    below it names them. A table without essential columns keeps all, and its longest texts are folded.
    """
    return _text(view, width, in_colour=in_colour)


def widths_of(table: Table) -> tuple[int, ...]:
    """How many cells each column takes if there is enough room."""
    texts = [table.columns, *(tuple(one_line(cell.text) for cell in row) for row in table.rows)]
    needed = (max(map(cells, column)) for column in zip(*texts, strict=True))
    return tuple(max(pair) for pair in itertools.zip_longest(needed, table.widths, fillvalue=0))


def styled(text: str, tone: str) -> str:
    """The text in its tone, with control codes for the terminal."""
    return f"\x1b[{_STYLES[tone]}m{text}\x1b[0m" if tone in _STYLES and text else text


def _text(view: View, width: int | None, *, in_colour: bool) -> str:
    lines: list[list[Cell]] = []
    for part in view:
        if isinstance(part, Table):
            lines += _table(part, width)
        else:
            lines += [[Cell(line.rstrip(), part.tone)] for line in printable(part.text).split("\n")]
    show = styled if in_colour else _plainly
    return "".join("".join(show(cell.text, cell.tone) for cell in line) + "\n" for line in lines)


def _plainly(text: str, _tone: str) -> str:
    return text


def _table(table: Table, width: int | None) -> Iterator[list[Cell]]:
    heading = tuple(Cell(column, _HEADING) for column in table.columns)
    rows = [tuple(Cell(one_line(cell.text), cell.tone) for cell in row) for row in table.rows]
    widths = list(widths_of(table))
    kept = len(widths)
    if width is not None and table.essential:
        while kept > table.essential and _total(widths[:kept]) > width:
            kept -= 1
    elif width is not None:
        excess = _total(widths) - width
        if excess > 0:
            longest = max(range(len(widths)), key=lambda number: widths[number])
            widths[longest] = max(widths[longest] - excess, NARROWEST)
    for row in (heading, *rows) if table.heading else rows:
        yield from _row(row[:kept], widths[:kept])
    if kept < len(widths):
        left_out = ", ".join(table.columns[kept:])
        yield [Cell(f"left out for want of width: {left_out} (a wider terminal or --json shows all)", FAINT)]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _row(row: Sequence[Cell], widths: Sequence[int]) -> Iterator[list[Cell]]:
    """The lines of a row: one, or more where a text is longer than its column."""
    columns = [_folded(cell.text, width) for cell, width in zip(row, widths, strict=True)]
    for number in range(max(map(len, columns))):
        texts = [column[number] if number < len(column) else "" for column in columns]
        last = max((place for place, text in enumerate(texts) if text), default=-1)
        line: list[Cell] = []
        for place, text in enumerate(texts[: last + 1]):
            line.append(Cell(text, row[place].tone))
            if place < last:
                line.append(Cell(" " * (widths[place] - cells(text)) + GAP))
        yield line


def _folded(text: str, width: int) -> list[str]:
    """The text in pieces of at most ``width`` cells, split between words if possible."""
    lines = []
    while cells(text) > width:
        end = max(1, _fitting(text, width))
        space = text.rfind(" ", 1, end + 1)
        cut = space if space > 0 else end
        lines.append(text[:cut].rstrip())
        text = text[cut:].lstrip()
    return [*lines, text]


def _fitting(text: str, width: int) -> int:
    """How many characters of the text fit into ``width`` cells."""
    taken = 0
    for number, character in enumerate(text):
        taken += cells(character)
        if taken > width:
            return number
    return len(text)


def cells(text: str) -> int:
    """How many cells of a terminal a text takes."""
    return len(text) if text.isascii() else sum(map(_cells_of, text))


def _cells_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
