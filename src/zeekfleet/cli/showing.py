"""Prints the verbs' results: data on stdout, as JSON or as tables, and problems on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import TextIO

from zeekfleet.cli.layout import plain_text, terminal_text
from zeekfleet.cli.options import terminal_columns
from zeekfleet.cli.streams import write_error, write_out
from zeekfleet.client.results import Document
from zeekfleet.client.views import Note, View


class Output:
    """Prints results.

    Args:
        as_json: print the document instead of the view.
        pretty_json: whether it is indented.
    """

    def __init__(self, *, as_json: bool, pretty_json: bool = True) -> None:
        self.as_json = as_json
        self._pretty_json = pretty_json

    @property
    def interactive(self) -> bool:
        """Whether a person watches: both streams are a terminal, and the output is not JSON."""
        return not self.as_json and sys.stdout.isatty() and sys.stderr.isatty()

    def show(self, document: Document, view: Callable[[], View]) -> None:
        """Print a result; the view is made only when it is needed."""
        if self.as_json:
            self.show_document(document)
            return
        parts = view()
        write_out(_text([part for part in parts if not _is_problem(part)], sys.stdout))
        write_error(_text([part for part in parts if _is_problem(part)], sys.stderr))

    def show_document(self, document: Document) -> None:
        """Print a document as JSON, even without ``--json``."""
        write_out(json_text(document, pretty=self._pretty_json))


def json_text(document: Document, *, pretty: bool = True) -> str:
    """The document as zeek-client prints it."""
    return json.dumps(document, sort_keys=True, indent=2 if pretty else None) + "\n"


def _is_problem(part: object) -> bool:
    return isinstance(part, Note) and part.is_problem


def _text(view: View, stream: TextIO) -> str:
    if not stream.isatty():
        return plain_text(view)
    in_colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in ("dumb", "unknown")
    return terminal_text(view, terminal_columns(), in_colour=in_colour)
