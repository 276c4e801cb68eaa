"""The verbs' results on stdout: JSON, or tables: in colour on a terminal, plain elsewhere."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence

import msgspec

from zeekfleet.cli.streams import write_out
from zeekfleet.client.report import Document, to_text

GOOD, BAD, BUSY, FAINT = "green", "bold red", "yellow", "dim"
"""Tones of cells and notes, by what rich calls them; plain text has none."""


class Cell(msgspec.Struct, frozen=True):
    """A text and its tone."""

    text: str
    tone: str = ""


class Table(msgspec.Struct, frozen=True):
    """Rows of cells under headings."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


class Note(msgspec.Struct, frozen=True):
    """Lines of text beside the tables."""

    text: str
    tone: str = ""


View = Sequence[Table | Note]


class Output:
    """Where a result goes.

    Args:
        json: print the document instead of the view.
        pretty_json: whether it is indented.
    """

    def __init__(self, *, json: bool, pretty_json: bool = True) -> None:
        self.json = json
        self._pretty_json = pretty_json

    @property
    def interactive(self) -> bool:
        """Whether a person watches: both streams are a terminal and no JSON was asked for."""
        return not self.json and sys.stdout.isatty() and sys.stderr.isatty()

    def show(self, document: Document, view: Callable[[], View]) -> None:
        """Print a result; the view is made only when it is needed."""
        if self.json:
            self.show_document(document)
        elif sys.stdout.isatty():
            from zeekfleet.cli.colour import print_view  # noqa: PLC0415 - rich takes its time to import

            print_view(view())
        else:
            write_out(plain_text(view()))

    def show_document(self, document: Document) -> None:
        """Print a document as JSON, whatever was asked for."""
        write_out(f"{to_text(document, pretty=self._pretty_json)}\n")


def plain_text(view: View) -> str:
    """The view in aligned columns, without colour, with a final line break."""
    lines: list[str] = []
    for part in view:
        lines += _plain_table(part) if isinstance(part, Table) else printable(part.text).split("\n")
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _plain_table(table: Table) -> Iterable[str]:
    rows = [table.columns, *(tuple(flat(cell.text) for cell in row) for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))


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
