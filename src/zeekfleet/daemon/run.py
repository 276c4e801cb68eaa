"""Runs a daemon in the foreground: sets up its log, handles signals, gives the exit code."""

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
from zeekfleet.model.texts import one_line
from zeekfleet.settings import CommonSettings
from zeekfleet.system import core_files, descriptors
from zeekfleet.waiting import first_of

logger = logging.getLogger(__name__)

FORCED_EXIT_AFTER = 5
"""Seconds after the second signal at which the process ends, whatever it is doing."""

SAME_SIGNAL_WITHIN = 1.0
"""Seconds within which a second signal counts as the first one: a terminal and a service manager may both send one."""

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
"""Signals that stop the daemon in order. Terminals (for Ctrl-\\) and some containers send SIGQUIT."""

IGNORED_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)
"""Signals that are ignored: by default they would end the process."""

Serve = Callable[[asyncio.Event], Awaitable[None]]
"""Runs the daemon until the event is set, then stops it in order."""


def run(common: CommonSettings, serve: Serve) -> int:
    """Run until SIGTERM, SIGINT or SIGQUIT. Returns the exit code. An error is printed as one sentence.

    At a second signal it ends without waiting for the nodes, which their stem continues to stop.
    """
    handlers.configure(common.log_format, common.log_level)
    descriptors.raise_limit()
    core_files.leave_none()
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
    sys.stderr.write(f"error: {one_line(str(error))}\n")
    return 1


def _first(error: BaseException | None) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error or ZeekfleetError("unknown error")


async def _run(serve: Serve) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signalled = _Signalled(stop, asyncio.current_task())
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, signalled)
    for number in IGNORED_SIGNALS:
        loop.add_signal_handler(number, logger.info, "%s is ignored by this daemon", number.name)
    on_hangup()
    async with asyncio.TaskGroup() as tasks:
        telling = tasks.create_task(_tell_of_stop(stop))
        try:
            await serve(stop)
        finally:
            telling.cancel()


def on_hangup(pass_on: Callable[[], None] = lambda: None) -> None:
    """Make SIGHUP open the logs anew, and nothing else. Logrotate sends it, and so does a terminal that is closed.

    Args:
        pass_on: passes the signal on to processes that have logs of their own.
    """

    def hung_up() -> None:
        handlers.reopen()
        logger.info("SIGHUP: logs are opened anew")
        pass_on()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up)


class _Signalled:
    """Handles signals: the first stops the daemon in order, a later one ends it at once.

    Args:
        stop: set by the first signal.
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
            loop.call_at(max(now, self._first + SAME_SIGNAL_WITHIN), self._leave)

    def _leave(self) -> None:
        # A thread, or a task that ignores its cancellation, must not keep the process: the alarm ends it.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(FORCED_EXIT_AFTER)
        if self._task is not None:
            self._task.cancel()


async def _tell_of_stop(stop: asyncio.Event) -> None:
    await stop.wait()
    readiness.notify("STOPPING=1")


async def _warm_up() -> None:
    """Compile the readers and writers of all events, so that the first requests need not wait for that."""
    for event in SECOND.names:
        SECOND.codec.reader(event)
        SECOND.codec.writer(event)
        await asyncio.sleep(0)
    # What exists by now lives as long as the process. Each full garbage collection would look through it, for 40 ms.
    gc.freeze()


async def until(stop: asyncio.Event, work: Awaitable[None]) -> None:
    """Run ``work`` until ``stop`` is set, then cancel it and wait for its end. Work that ends earlier has failed."""
    warming_up = asyncio.ensure_future(_warm_up())
    try:
        await first_of(work, stop.wait())
    finally:
        warming_up.cancel()
        await asyncio.wait({warming_up})
