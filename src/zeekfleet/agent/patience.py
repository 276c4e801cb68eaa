"""Waiting for nodes as long as they make progress."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from zeekfleet.agent.control import SupervisorControl
from zeekfleet.planning.deadlines import Deadline


class Patience:
    """A time-out that each progress moves, within a ceiling; use it as an async context manager.

    Leaving it raises ``TimeoutError`` if there was no progress for too long.

    Args:
        seconds: how long to wait without any progress.
    """

    def __init__(self, seconds: float) -> None:
        self._clock = asyncio.get_running_loop().time
        self._seconds = seconds
        self._deadline = Deadline(self._clock(), seconds)
        self._timeout = asyncio.timeout_at(self._deadline.at)
        self._over = False

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        await self._timeout.__aexit__(kind, error, trace)

    @property
    def left(self) -> float:
        """Seconds until it is over, if there is no progress any more."""
        return self._deadline.at - self._clock()

    def progressed(self, seconds: float | None = None) -> None:
        """There is progress; from now on wait for so many seconds without any, if that is given."""
        self._seconds = seconds or self._seconds
        at = self._deadline.progressed(self._clock(), seconds)
        if not self._over and not self._timeout.expired():
            self._timeout.reschedule(at)

    @contextmanager
    def while_stopping(self, control: SupervisorControl) -> Iterator[None]:
        """Each sign that a node which is being stopped still works is progress, too."""
        with control.extending(self._timeout, self._seconds):
            yield
