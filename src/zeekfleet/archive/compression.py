"""Compresses logs for the archive, and reads compressed ones."""

from __future__ import annotations

import enum
import gzip
import importlib.util
import io
import zlib
from typing import BinaryIO, cast

from zeekfleet.errors import SettingsError

GZIP_LEVEL = 6
ZSTD_LEVEL = 3


class Compression(enum.Enum):
    """How logs are compressed."""

    GZIP = "gzip"
    ZSTD = "zstd"
    NONE = "none"

    @property
    def suffix(self) -> str:
        """The suffix of file names with this compression."""
        return {Compression.GZIP: ".gz", Compression.ZSTD: ".zst", Compression.NONE: ""}[self]


def require(compression: Compression) -> None:
    """Check that this host has what the compression needs.

    Raises:
        SettingsError: a package is missing.
    """
    if compression is Compression.ZSTD and not _has_zstandard():
        raise SettingsError("archive.compression", "zstd needs the Python package zstandard (zeekfleet[zstd])")


def _has_zstandard() -> bool:
    return importlib.util.find_spec("zstandard") is not None


def writer(compression: Compression, stream: BinaryIO) -> BinaryIO:
    """A file object that compresses into ``stream``. Closing it ends the compressed data; ``stream`` stays open."""
    if compression is Compression.GZIP:
        # Without name and time in the header, the same log always gives the same bytes.
        return cast(BinaryIO, gzip.GzipFile("", "wb", GZIP_LEVEL, stream, mtime=0))
    if compression is Compression.ZSTD:
        import zstandard  # noqa: PLC0415 - an optional dependency

        compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True)
        return cast(BinaryIO, compressor.stream_writer(stream, closefd=False))
    return cast(BinaryIO, _Plain(stream))


def reader(compression: Compression, stream: BinaryIO) -> BinaryIO | None:
    """A file object that reads what :func:`writer` wrote; None if a package for that is missing."""
    if compression is Compression.GZIP:
        return cast(BinaryIO, gzip.GzipFile("", "rb", fileobj=stream))
    if compression is Compression.ZSTD:
        if not _has_zstandard():
            return None
        import zstandard  # noqa: PLC0415

        return cast(BinaryIO, zstandard.ZstdDecompressor().stream_reader(stream, closefd=False))
    return stream


def damage() -> tuple[type[Exception], ...]:
    """The exceptions that reading raises if the data are damaged, incomplete or something else."""
    found: tuple[type[Exception], ...] = (EOFError, gzip.BadGzipFile, zlib.error)
    if _has_zstandard():
        import zstandard  # noqa: PLC0415

        found += (zstandard.ZstdError,)
    return found


class _Plain(io.RawIOBase):
    """Writes the data as it is."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        return self._stream.write(data)
