"""``archiver_that_dies.py QUEUE LOGS COMPRESSION``: archives what is in the queue, and dies as the environment says.

``ZEEKFLEET_TEST_ARCHIVE_FAULT`` is a step's name and a number: at the so many-th
time of that step the process kills itself with SIGKILL. Without it, or when the
step never comes, the program ends by itself once the queue is empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

from zeekfleet.archive import archiver
from zeekfleet.archive.compression import Compression
from zeekfleet.archive.writer import ArchiveWriter, Step

FAULT = "ZEEKFLEET_TEST_ARCHIVE_FAULT"


class DyingArchiveWriter(ArchiveWriter):
    """Dies at its step."""

    def __init__(self, *arguments: Any) -> None:
        name, _, number = os.environ.get(FAULT, "").partition(":")
        self._fatal = Step[name] if name else None
        self._left = int(number or 0)
        super().__init__(*arguments, watcher=self._step)

    def _step(self, step: Step) -> None:
        if step is self._fatal:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


async def main(queue: Path, logs: Path, form: Compression) -> None:
    task = asyncio.create_task(archiver.Archiver(archiver.ArchiveOptions(queue, logs, form)).run())
    async with asyncio.timeout(60):
        while any(queue.glob("[!.]*")):  # noqa: ASYNC110, ASYNC240 - no event tells of it
            await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


archiver.ArchiveWriter = DyingArchiveWriter  # type: ignore[misc]
asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), Compression(sys.argv[3])))
