"""Writes the verbs' messages to stderr."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from zeekfleet.cli.streams import abandon
from zeekfleet.model.texts import one_line

INFORMATION = 2
DETAIL = 3
WIRE = 4


class Messages:
    """Sentences on stderr, by zeek-client's levels of verbosity.

    Args:
        quiet: write only why the verb failed.
        verbosity: errors and warnings are always written, information from level 2 on, details from level 3 on.
        timestamps: begin each line with the time.
        stream: where to write; stderr by default.
    """

    def __init__(
        self, *, quiet: bool = False, verbosity: int = 0, timestamps: bool = False, stream: TextIO | None = None
    ) -> None:
        self.quiet = quiet
        self.verbosity = verbosity
        self._timestamps = timestamps
        self._stream = stream

    def error(self, sentence: str) -> None:
        """Why the verb failed; written even if ``quiet`` is set."""
        self._write("error", sentence)

    def warning(self, sentence: str) -> None:
        """Say that something was ignored, or is probably wrong."""
        if not self.quiet:
            self._write("warning", sentence)

    def note(self, sentence: str) -> None:
        """Say what the verb is waiting for, or has left out."""
        if not self.quiet:
            self._write("", sentence)

    def information(self, sentence: str) -> None:
        """Report a step."""
        if self.verbosity >= INFORMATION and not self.quiet:
            self._write("info", sentence)

    def detail(self, sentence: str) -> None:
        """Report a detail, for troubleshooting."""
        if self.verbosity >= DETAIL and not self.quiet:
            self._write("debug", sentence)

    def _write(self, level: str, sentence: str) -> None:
        if self._timestamps:
            prefix = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {level or 'note':<8} "
        else:
            prefix = f"{level}: " if level else ""
        stream = self._stream or sys.stderr
        try:
            print(f"{prefix}{one_line(sentence)}", file=stream, flush=True)
        except (OSError, ValueError):
            abandon(stream)  # it is closed, or its terminal is gone
