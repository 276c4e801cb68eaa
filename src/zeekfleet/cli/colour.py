"""Views on a terminal, by rich; imported only when there is one."""

from __future__ import annotations

import rich.box
import rich.table
from rich.console import Console, RenderableType
from rich.text import Text

from zeekfleet.cli.output import Note, Table, View, flat, printable


def print_view(view: View, console: Console | None = None) -> None:
    """Print all parts of a view on standard output, or on the console given."""
    console = console or Console(highlight=False)
    for part in view:
        console.print(renderable(part))


def renderable(part: Table | Note) -> RenderableType:
    """What rich can print."""
    if isinstance(part, Note):
        return Text(printable(part.text), style=part.tone)
    table = rich.table.Table(*part.columns, box=rich.box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for row in part.rows:
        table.add_row(*(Text(flat(cell.text), style=cell.tone) for cell in row))
    return table
