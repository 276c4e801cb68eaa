"""Runs another program in place of the built-in archiver, such as zeek-archiver."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import tempfile
from errno import EACCES, ENOENT
from pathlib import Path

from zeekfleet.errors import SettingsError
from zeekfleet.system.programs import refusal

TIME_LIMIT = 3600.0
"""Seconds after which a run is stopped."""

GRACE = 5.0
"""Seconds from SIGTERM to SIGKILL."""

_TAIL = 4096


def command_line(command: str, queue: Path, logs: Path) -> tuple[str, ...]:
    """The program and its arguments; no shell is involved.

    ``{queue}`` and ``{logs}`` are replaced by the two directories. If neither occurs, the program is run as Zeek's own
    agent runs it: ``command -1 queue logs``.

    Raises:
        SettingsError: quotation marks are not closed, or there is no command.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise SettingsError("archive.command", f"'{command}' cannot be split into words: {error}") from None
    if not words:
        raise SettingsError("archive.command", "there is no command")
    if "{queue}" in command or "{logs}" in command:
        return tuple(word.replace("{queue}", str(queue)).replace("{logs}", str(logs)) for word in words)
    return (*words, "-1", str(queue), str(logs))


def missing(program: str) -> str:
    """Why the program cannot be run, in the words of :func:`run`; empty if it can."""
    if shutil.which(program) is not None:
        return ""
    return _refused(program, EACCES if os.path.exists(program) else ENOENT)  # noqa: PTH110 - it may be a name without a directory


def _refused(program: str, number: int) -> str:
    return f"archive.command: '{program}' cannot be run: {refusal(program, number)}"


async def run(argv: tuple[str, ...], keep: tuple[int, ...] = (), time_limit: float = TIME_LIMIT) -> str:
    """Run the program once. If this is cancelled, the program is stopped.

    Args:
        argv: the program and its arguments.
        keep: descriptors that it inherits, such as locks that must be held as long as it runs.
        time_limit: seconds.

    Returns:
        The problem, as a sentence; empty if there was none.
    """
    with tempfile.TemporaryFile() as output:
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=keep,
            )
        except OSError as error:
            return _refused(argv[0], error.errno or 0)
        try:
            async with asyncio.timeout(time_limit):
                status = await process.wait()
        except TimeoutError:
            return f"'{argv[0]}' did not end within {time_limit:g} s"
        finally:
            await _end(process)
        if status == 0:
            return ""
        output.seek(max(0, output.seek(0, os.SEEK_END) - _TAIL))
        lines = output.read().decode(errors="replace").strip().splitlines() or ["it gave no reason"]
        how = f"failed with status {status}" if status > 0 else f"was ended by signal {-status}"
        return f"'{argv[0]}' {how}: {lines[-1]}"


async def _end(process: asyncio.subprocess.Process) -> None:
    """Stop the program and all that it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await process.wait()
