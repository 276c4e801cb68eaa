"""Which zeekfleet a process runs: its version, the build of its files, and where it is installed.

A version alone is not enough: a checkout changes between two versions, and one host may have several environments. What
a process runs is read when this module is first imported, so that it stays true after an upgrade on disk.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from zeekfleet import __version__
from zeekfleet.model.releases import PartRelease

PACKAGE = Path(__file__).parent


class Release(msgspec.Struct, frozen=True):
    """One installed zeekfleet.

    Attributes:
        version: such as ``0.1.0``.
        build: eight hexadecimal digits that change whenever one of its files does.
        place: the directory that holds the package.
        python: the interpreter that runs it.
    """

    version: str
    build: str
    place: str
    python: str

    def __str__(self) -> str:
        return f"{self.version} (build {self.build}) in {self.place}, run by {self.python}"


def read(package: Path = PACKAGE, python: str = sys.executable) -> Release:
    """The release that lies in a package's directory now."""
    listing = "".join(f"{path} {size} {changed}\n" for path, size, changed in sorted(_files(package)))
    build = zlib.crc32(listing.encode(errors="surrogateescape"))
    return Release(__version__, f"{build:08x}", str(package.parent), python)


def _files(directory: Path | str, below: str = "") -> Iterator[tuple[str, int, int]]:
    """Each file's path, size in bytes, and time of its last change; compiled files follow from the others."""
    with os.scandir(directory) as entries:
        for entry in entries:
            path = f"{below}{entry.name}"
            if entry.is_dir():
                if entry.name != "__pycache__":
                    yield from _files(entry.path, f"{path}/")
            else:
                status = entry.stat()
                yield path, status.st_size, status.st_mtime_ns


RUNNING = read()
"""What this process runs."""


def part(name: str, pid: int = 0, release: Release | None = RUNNING) -> PartRelease:
    """A part of a fleet, for who asks what runs where.

    Args:
        name: what it is.
        pid: its process; this one when left out.
        release: what it runs; None for a former release that does not tell.
    """
    if release is None:
        return PartRelease(name, pid)
    return PartRelease(name, pid or os.getpid(), release.version, release.build, release.place, release.python)
