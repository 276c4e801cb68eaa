"""A wall clock that a test can set below running processes (``clock.c``)."""

from __future__ import annotations

import struct
from pathlib import Path

from preloaded import built


class Clock:
    """The clock of all processes with this :attr:`environment`.

    Args:
        directory: for the library and the offset.
    """

    def __init__(self, directory: Path) -> None:
        self.library = built("clock", directory)
        self._file = directory / "clock-offset"
        self._file.write_bytes(struct.pack("=q", 0))
        self.environment = {"LD_PRELOAD": str(self.library), "CLOCK_OFFSET_FILE": str(self._file)}

    def set(self, offset: int) -> None:
        """From now on the wall clock shows so many seconds more than the real one."""
        with self._file.open("r+b", buffering=0) as file:
            file.write(struct.pack("=q", offset))

    def is_in(self, pid: int) -> bool:
        """Whether a process runs by this clock."""
        maps = Path(f"/proc/{pid}/maps").read_text()
        return str(self.library) in maps and str(self._file) in maps
