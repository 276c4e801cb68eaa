"""Certificates and keys of trustme, in files that only we can read."""

from __future__ import annotations

from pathlib import Path

import trustme


def write(blob: trustme.Blob, file: Path) -> None:
    """Write a certificate or a key. One that others can read is refused."""
    file.touch(mode=0o600)
    file.write_bytes(blob.bytes())
