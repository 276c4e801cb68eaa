"""Which release of zeekfleet a process runs: the version, the build, and where it is installed.

The version alone is not enough: a checkout changes between two versions, and one host may have several environments.
The release is read when this module is first imported. So even after an upgrade on disk it is what the process runs.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from zeekfleet.model.releases import PartRelease
from zeekfleet.version import __version__

PACKAGE = Path(__file__).parent


class Release(msgspec.Struct, frozen=True):
    """One installed zeekfleet.

    Attributes:
        version: such as ``0.1.0``.
        build: eight hexadecimal digits that change with each of its files.
        place: the directory in which the package is.
        python: the interpreter that runs it.
    """

    version: str
    build: str
    place: str
    python: str

    def __str__(self) -> str:
        return f"{self.version} (build {self.build}) in {self.place}, run by {self.python}"


def read(package: Path = PACKAGE, python: str = sys.executable) -> Release:
    """The release that is in a package's directory now."""
    listing = "".join(f"{path} {size} {changed}\n" for path, size, changed in sorted(_files(package)))
    build = zlib.crc32(listing.encode(errors="surrogateescape"))
    return Release(__version__, f"{build:08x}", str(package.parent), python)


def _files(directory: Path | str, below: str = "") -> Iterator[tuple[str, int, int]]:
    """Each file's path, size in bytes, and time of its last change, without compiled files."""
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
"""The release that this process runs."""


def part(name: str, pid: int = 0, release: Release | None = RUNNING) -> PartRelease:
    """The release of one part of a fleet, as ``zeekfleet version`` shows it.

    Args:
        name: what the part is, such as ``agent``.
        pid: its process; by default this one.
        release: its release; None if it is too old to report it.
    """
    if release is None:
        return PartRelease(name, pid)
    return PartRelease(name, pid or os.getpid(), release.version, release.build, release.place, release.python)
