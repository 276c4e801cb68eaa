"""Runs a Zeek that reads scripts and stops (``zeek -a``)."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from zeekfleet.planning.parsing import reported_errors
from zeekfleet.system.privileges import Ids, acting_as, command_as
from zeekfleet.system.programs import refusal

TIMEOUT = 60.0
"""The most seconds for one run; on an idle host a Zeek needs 0.4."""

LARGEST_REPORT = 256 * 1024
"""The most bytes of standard error that are read."""

STDERR = "stderr"


async def parse(
    argv: Sequence[str],
    environment: Mapping[str, str],
    scratch: Path,
    timeout: float = TIMEOUT,
    user: Ids | None = None,
) -> list[str]:
    """Run Zeek in the directory ``scratch``; returns its errors, one text each.

    Args:
        argv: the command line.
        environment: the whole environment.
        scratch: the directory, which must belong to the user.
        timeout: seconds that it may take.
        user: the user that it runs as; None for our own. Plug-ins that it loads run code.

    Raises:
        OSError: Zeek cannot be run.
    """
    with acting_as(user):
        stderr = (scratch / STDERR).open("w+b")
    with stderr:
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                cwd=scratch,
                env=dict(environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
                **command_as(user),
            )
        except OSError as error:
            number = error.errno or 0
            raise OSError(number, f"{argv[0]} cannot be run: {refusal(argv[0], number)}") from error
        try:
            async with asyncio.timeout(timeout):
                code = await process.wait()
        except TimeoutError:
            return [f"its scripts were not read within {timeout:g} s"]
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if code == 0:
            return []
        stderr.seek(0)
        text = stderr.read(LARGEST_REPORT).decode(errors="replace")
    return reported_errors(text) or [f"reading its scripts ended with {_end(code)}"]


def _end(code: int) -> str:
    return f"status {code}" if code >= 0 else f"signal {-code} ({signal.strsignal(-code)})"
