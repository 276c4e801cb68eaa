"""The same queue archived by zeek-archiver and by us: the same logs under the same names."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.waiting import async_until
from zeekfleet.archive.archiver import Archiver
from zeekfleet.archive.compression import Compression

pytestmark = pytest.mark.skipif(shutil.which("zeek-archiver") is None, reason="no zeek-archiver on PATH")

PATIENCE = 60.0
HOUR = "2024-01-01-00-00-00__2024-01-01-01-00-00"
NAMES = (
    "conn__2024-03-31-01-59-59__2024-03-31-03-00-00__.log",
    "conn__2024-02-29-23-30-00__2024-03-01-00-30-00__log_suffix=logger-1__.log",
    f"dns__{HOUR}__log_suffix=logger-1,pid=4711__.log",
    f"http__{HOUR}__pid=1, log_suffix = b __.log",
    f"ssl__{HOUR}____.log",
    f"x509__{HOUR}__.log.gz",
    f"files__{HOUR}__.json",
    f"noext__{HOUR}__",
    "conn.log",
    f"bad__{HOUR}__novalue__.log",
    "bad__2024-13-01-00-00-00__2024-01-01-01-00-00__.log",
)
COMMANDS = {Compression.GZIP: "gz,gzip", Compression.ZSTD: "zst,zstd -q", Compression.NONE: ""}


@pytest.mark.parametrize("form", list(COMMANDS), ids=lambda form: form.value)
def test_the_same_logs_get_the_same_names(tmp_path: Path, spool: Any, form: Compression) -> None:
    if form is Compression.ZSTD:
        pytest.importorskip("zstandard")
        if shutil.which("zstd") is None:
            pytest.skip("no zstd on PATH")
    for name in NAMES:
        content = name.encode() * 100
        (spool.queue / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    theirs = tmp_path / "theirs"
    shutil.copytree(spool.queue, theirs / "queue")
    subprocess.run(
        ["zeek-archiver", "-1", "-c", COMMANDS[form], theirs / "queue", theirs / "logs"],
        timeout=PATIENCE, check=True, capture_output=True,
    )  # fmt: skip
    expected = {str(path.relative_to(theirs / "logs")): path for path in theirs.glob("logs/*/*")}
    assert len(expected) == 8

    left = {path.name for path in (theirs / "queue").iterdir() if path.is_file()}

    asyncio.run(archive(spool, form, left))
    assert spool.archived() == {name: spool.content(path) for name, path in expected.items()}


async def archive(spool: Any, form: Compression, left: set[str]) -> None:
    """Archive the queue until this is left."""

    archiver = asyncio.create_task(Archiver(spool.options(compression=form), lambda _: None).run())
    try:
        await async_until(lambda: spool.waiting() == left)
    finally:
        archiver.cancel()
        await asyncio.wait([archiver])
