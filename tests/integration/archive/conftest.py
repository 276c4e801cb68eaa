"""A queue, an archive, and logs as a logger would leave them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from zeekfleet.archive.archiver import ArchiveOptions
from zeekfleet.archive.names import RotatedLog, parse_rotated

HOUR = "2024-01-02-03-00-00__2024-01-02-04-00-00"


class Spool:
    """A spool directory and the archive beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.queue = root / "spool" / "log-queue"
        self.logs = root / "logs"
        self.queue.mkdir(parents=True)
        self._made = 0

    def rotate(self, name: str, content: bytes) -> RotatedLog:
        """Put a log into the queue as Zeek does: written elsewhere, renamed into place."""
        self._made += 1
        file = self.root / f"log-{self._made}"
        file.write_bytes(content)
        file.rename(self.queue / name)
        log = parse_rotated(name)
        assert log is not None
        return log

    def waiting(self) -> set[str]:
        return {path.name for path in self.queue.iterdir() if not path.name.startswith(".")}

    def archived(self) -> dict[str, bytes]:
        """Everything in the archive's days, hidden files included, unpacked."""
        return {str(path.relative_to(self.logs)): unpacked(path) for path in self.logs.glob("*/*")}

    @staticmethod
    def content(path: Path) -> bytes:
        """What was in an archived log, however it is compressed."""
        return unpacked(path)

    def options(self, **changes: object) -> ArchiveOptions:
        return ArchiveOptions(self.queue, self.logs, **changes)  # type: ignore[arg-type]


def unpacked(path: Path) -> bytes:
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".zst":
        import zstandard

        return zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
    return path.read_bytes()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path)
