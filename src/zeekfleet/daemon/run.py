"""Running a daemon in the foreground: log, signals, exit code."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

from zeekfleet import logs
from zeekfleet.daemon import readiness
from zeekfleet.errors import ZeekfleetError
from zeekfleet.settings import CommonSettings

logger = logging.getLogger(__name__)

Serve = Callable[[asyncio.Event], Awaitable[None]]
"""Serves until the event is set, then ends in order."""


def run(common: CommonSettings, serve: Serve) -> int:
    """Run until SIGTERM or SIGINT; the exit code. What goes wrong is told in one sentence."""
    logs.configure(common.log_format, common.log_level)
    try:
        asyncio.run(_run(serve))
    except (ZeekfleetError, OSError) as error:
        return _refuse(error)
    except BaseExceptionGroup as group:
        expected, unexpected = group.split((ZeekfleetError, OSError))
        if unexpected is not None:
            raise
        return _refuse(_first(expected))
    return 0


def _refuse(error: BaseException) -> int:
    sys.stderr.write(f"error: {error}\n")
    return 1


def _first(error: BaseException | None) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error or ZeekfleetError("unknown error")


async def _run(serve: Serve) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as tasks:
        telling = tasks.create_task(_tell_of_stop(stop))
        try:
            await serve(stop)
        finally:
            telling.cancel()


async def _tell_of_stop(stop: asyncio.Event) -> None:
    await stop.wait()
    readiness.notify("STOPPING=1")


async def until(stop: asyncio.Event, work: Awaitable[None]) -> None:
    """Do the work until it ends by itself, which it should not, or until told to stop; then cancel it and wait."""
    task = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        for pending in (task, waiting):
            pending.cancel()
            with suppress(asyncio.CancelledError):
                await pending
