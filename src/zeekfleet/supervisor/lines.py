"""Cuts a stream of bytes into lines of bounded length."""

from __future__ import annotations

from collections.abc import Iterator

MAX_LINE = 64 * 1024
"""Bytes. A longer line is delivered in pieces of this length."""


class LineSplitter:
    """Takes bytes and gives lines. It keeps the unfinished last line until the rest of it comes."""

    def __init__(self, longest: int = MAX_LINE) -> None:
        self._longest = longest
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that ``data`` completes, without their line ends; bytes that are not UTF-8 are replaced."""
        *complete, rest = (self._rest + data).split(b"\n")
        self._rest = b""
        for line in complete:
            yield from self._pieces(line)
        while len(rest) >= self._longest:
            yield _text(rest[: self._longest])
            rest = rest[self._longest :]
        self._rest = rest

    def flush(self) -> Iterator[str]:
        """The unfinished line, if there is one."""
        rest, self._rest = self._rest, b""
        if rest:
            yield _text(rest)

    def _pieces(self, line: bytes) -> Iterator[str]:
        for start in range(0, max(1, len(line)), self._longest):
            yield _text(line[start : start + self._longest])


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace")
