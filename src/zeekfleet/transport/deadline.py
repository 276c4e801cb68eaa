"""Deadlines for peers that are extended if we were slow ourselves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

TOLERANCE = 0.1
"""Seconds by which a timer may be late although our event loop is not slow."""

EXTENSION = 10.0
"""The most seconds that one delay of ours adds to a deadline."""


class Deadline:
    """Calls an action at a time, unless it is cancelled before.

    If the loop did not run at that time, the peer may have sent what we wait
    for, and we have not read it. So if a deadline is noticed late, it is
    extended by as many seconds as it was late.

    Args:
        when: in the loop's time.
        action: called once.
    """

    def __init__(self, when: float, action: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._action = action
        self.when = when
        self._timer = self._loop.call_at(when, self._due)

    def cancel(self) -> None:
        """Never call the action."""
        self._timer.cancel()

    def _due(self) -> None:
        now = self._loop.time()
        late = now - self.when
        if late <= TOLERANCE:
            self._action()
            return
        self.when = now + min(late, EXTENSION)
        self._timer = self._loop.call_at(self.when, self._due)


@contextlib.asynccontextmanager
async def until(when: float) -> AsyncIterator[Callable[[], None]]:
    """Cancel the body of the context when a :class:`Deadline` is over, and raise TimeoutError.

    Yields a function that lifts the deadline.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as timeout:
        deadline = Deadline(when, lambda: timeout.reschedule(loop.time()))

        def lift() -> None:
            deadline.cancel()
            timeout.reschedule(None)

        try:
            yield lift
        finally:
            deadline.cancel()
