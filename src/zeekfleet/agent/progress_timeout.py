"""A time-out that is renewed by progress."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from zeekfleet.agent.control import SupervisorControl
from zeekfleet.planning.deadlines import Deadline


class ProgressTimeout:
    """An async context manager with a time-out that each progress renews, within a ceiling.

    Raises:
        TimeoutError: on exit, if there was no progress for too long.

    Args:
        seconds: how long to wait without progress.
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
        """Seconds until the time-out, if there is no more progress."""
        return self._deadline.at - self._clock()

    def progressed(self, seconds: float | None = None) -> None:
        """Renew the time-out after progress. ``seconds`` replaces the time to wait without progress."""
        self._seconds = seconds or self._seconds
        at = self._deadline.progressed(self._clock(), seconds)
        if not self._over and not self._timeout.expired():
            self._timeout.reschedule(at)

    @contextmanager
    def while_stopping(self, control: SupervisorControl) -> Iterator[None]:
        """While the context lasts, it counts as progress, too, if a node that is being stopped still works."""
        with control.extending(self._timeout, self._seconds):
            yield
