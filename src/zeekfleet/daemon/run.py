"""Running a daemon in the foreground: log, signals, exit code."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Awaitable, Callable

from zeekfleet.broker.generations import SECOND
from zeekfleet.daemon import readiness
from zeekfleet.errors import ZeekfleetError
from zeekfleet.logs import handlers
from zeekfleet.settings import CommonSettings
from zeekfleet.system import descriptors
from zeekfleet.waiting import first_of

logger = logging.getLogger(__name__)

LAST_PATIENCE = 5
"""Seconds that it takes at most to end at the second signal."""

DOUBLE = 1.0
"""Seconds within which a second signal is the same wish: a terminal and what runs us may both send it."""

ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
"""Signals that have all stopped in order; a terminal sends the last one for Ctrl-\\, and some containers do."""

HARMLESS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)
"""Signals that would end a process that does not expect them."""

Serve = Callable[[asyncio.Event], Awaitable[None]]
"""Serves until the event is set, then ends in order."""


def run(common: CommonSettings, serve: Serve) -> int:
    """Run until SIGTERM, SIGINT or SIGQUIT; the exit code. What goes wrong is told in one sentence.

    A second signal ends it without waiting for what is being stopped, which goes on by itself.
    """
    handlers.configure(common.log_format, common.log_level)
    descriptors.raise_limit()
    try:
        asyncio.run(_run(serve))
    except asyncio.CancelledError:
        return _refuse(ZeekfleetError("told to stop again: left before all had ended"))
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
    signalled = _Signalled(stop, asyncio.current_task())
    for number in ENDS:
        loop.add_signal_handler(number, signalled)
    for number in HARMLESS:
        loop.add_signal_handler(number, logger.info, "%s means nothing to this daemon", number.name)
    on_hangup()
    async with asyncio.TaskGroup() as tasks:
        telling = tasks.create_task(_tell_of_stop(stop))
        try:
            await serve(stop)
        finally:
            telling.cancel()


def on_hangup(pass_on: Callable[[], None] = lambda: None) -> None:
    """Have SIGHUP, which a closed terminal and logrotate send, open the logs anew, and do no more than that.

    Args:
        pass_on: tells others, who have logs of their own.
    """

    def hung_up() -> None:
        handlers.reopen()
        logger.info("SIGHUP: logs are opened anew")
        pass_on()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up)


class _Signalled:
    """What a signal does: the first has all stopped in order, a later one has it left to itself.

    Args:
        stop: set by the first.
        task: cancelled by a later one.
    """

    def __init__(self, stop: asyncio.Event, task: asyncio.Task[None] | None) -> None:
        self._stop = stop
        self._task = task
        self._first: float | None = None

    def __call__(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._stop.set()
        if self._first is None:
            self._first = now
        else:
            loop.call_at(max(now, self._first + DOUBLE), self._leave)

    def _leave(self) -> None:
        # Whatever does not let itself be cancelled, be it a thread, ends with the process.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LAST_PATIENCE)
        if self._task is not None:
            self._task.cancel()


async def _tell_of_stop(stop: asyncio.Event) -> None:
    await stop.wait()
    readiness.notify("STOPPING=1")


async def _settle() -> None:
    """What would hold up the first requests is done while nobody waits."""
    for event in SECOND.names:
        SECOND.codec.reader(event)
        SECOND.codec.writer(event)
        await asyncio.sleep(0)
    # What is there by now stays: to look through it again would hold up everybody for some 40 ms each time.
    gc.freeze()


async def until(stop: asyncio.Event, work: Awaitable[None]) -> None:
    """Do the work until it ends by itself, which it should not, or until told to stop; then cancel it and wait."""
    settling = asyncio.ensure_future(_settle())
    try:
        await first_of(work, stop.wait())
    finally:
        settling.cancel()
        await asyncio.wait({settling})
