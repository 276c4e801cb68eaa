"""The last lines of a part of a file, read from its end."""

from __future__ import annotations

import os
from pathlib import Path

from zeekfleet.system.holes import first_data

_BLOCK = 64 * 1024
MAX_BYTES = 1024 * 1024
"""Never read more than this, whatever number of lines was asked for: lines may be long."""


def last_lines(path: Path, start: int, end: int, count: int) -> str:
    """The last ``count`` lines between two offsets, joined by newlines; empty if the file cannot be read.

    A file that is smaller than ``end`` was truncated or replaced meanwhile; then its last lines are read. A hole, which
    a rotation leaves where a head was, is skipped.
    """
    if count <= 0:
        return ""
    try:
        # A pipe in its place would hold us up without O_NONBLOCK.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            size = os.fstat(descriptor).st_size
            start, end = (start, end) if start <= end <= size else (0, size)
            start = first_data(descriptor, max(start, end - MAX_BYTES))
            content = _read_back(descriptor, start, end, count)
        finally:
            os.close(descriptor)
    except OSError:
        return ""
    lines = content.removesuffix(b"\n").split(b"\n")[-count:]
    return "\n".join(line.removesuffix(b"\r").decode("utf-8", "replace") for line in lines)


def _read_back(descriptor: int, start: int, end: int, count: int) -> bytes:
    """The last bytes before ``end``: enough for ``count`` whole lines, or all from ``start`` on."""
    blocks: list[bytes] = []
    newlines = 0
    while end > start and newlines <= count:
        begin = max(start, end - _BLOCK)
        block = os.pread(descriptor, end - begin, begin)
        newlines += block.count(b"\n")
        blocks.append(block)
        end = begin
    return b"".join(reversed(blocks))
