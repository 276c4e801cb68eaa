"""Converts tables and notes for the library rich, for views that change while they are shown."""

from __future__ import annotations

import rich.box
import rich.table
from rich.console import RenderableType
from rich.text import Text

from zeekfleet.client.views import Note, Table
from zeekfleet.model.texts import one_line, printable


def renderable(part: Table | Note) -> RenderableType:
    """A table or note as an object of rich."""
    if isinstance(part, Note):
        return Text(printable(part.text), style=part.tone)
    table = rich.table.Table(*part.columns, box=rich.box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for row in part.rows:
        table.add_row(*(Text(one_line(cell.text), style=cell.tone) for cell in row))
    return table
