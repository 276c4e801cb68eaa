"""What the verbs say on stderr."""

from __future__ import annotations

import sys
import time
from typing import TextIO

INFORMATION = 2
DETAIL = 3
WIRE = 4


class Messages:
    """Sentences on stderr, by zeek-client's levels of verbosity.

    Args:
        quiet: say nothing at all.
        verbosity: errors and warnings always, information from 2, details from 3.
        timestamps: begin each line with the time.
        stream: where to write, stderr when left out.
    """

    def __init__(
        self, *, quiet: bool = False, verbosity: int = 0, timestamps: bool = False, stream: TextIO | None = None
    ) -> None:
        self.quiet = quiet
        self.verbosity = verbosity
        self._timestamps = timestamps
        self._stream = stream

    def error(self, sentence: str) -> None:
        """Why the verb failed."""
        self._write("error", sentence)

    def warning(self, sentence: str) -> None:
        """What was ignored."""
        self._write("warning", sentence)

    def information(self, sentence: str) -> None:
        """A step on the way."""
        if self.verbosity >= INFORMATION:
            self._write("info", sentence)

    def detail(self, sentence: str) -> None:
        """For troubleshooting."""
        if self.verbosity >= DETAIL:
            self._write("debug", sentence)

    def _write(self, level: str, sentence: str) -> None:
        if self.quiet:
            return
        prefix = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {level:<8} " if self._timestamps else f"{level}: "
        try:
            print(f"{prefix}{' '.join(sentence.splitlines())}", file=self._stream or sys.stderr, flush=True)
        except (OSError, ValueError):
            self.quiet = True  # stderr is closed: there is nobody to tell
