"""How long somebody counts as present although nothing is heard of them: pure bookkeeping."""

from __future__ import annotations

from typing import Generic, TypeVar

Holder = TypeVar("Holder")


class Leases(Generic[Holder]):
    """Leases of one length. Whoever is heard has a whole one again.

    Nobody is given up as their lease ends, only a while later. A process that stood still finds all leases ended, and
    in the sockets everything that was said meanwhile; it needs that while to read it. Whoever is late to look after the
    while stood still again, and gives it once more. What is not noticed is a short pause in that while, right after a
    long one, before anything was read.

    All times are seconds of one monotonic clock.

    Args:
        length: for how long a sign of life counts.
        reprieve: the while between the end of a lease and giving its holder up. More than half of it is late.
    """

    def __init__(self, length: float, reprieve: float) -> None:
        self._length = length
        self._reprieve = reprieve
        self._ends: dict[Holder, float] = {}
        self._reprieved: dict[Holder, float] = {}

    def grant(self, holder: Holder, now: float) -> None:
        """Give somebody a lease who has none, or a new one."""
        self._reprieved.pop(holder, None)
        self._ends[holder] = now + self._length

    def heard(self, holder: Holder, now: float) -> None:
        """Renew a lease; do nothing for somebody who has none."""
        if holder in self._ends or holder in self._reprieved:
            self.grant(holder, now)

    def end(self, holder: Holder) -> None:
        """Forget a lease, if there is one."""
        self._ends.pop(holder, None)
        self._reprieved.pop(holder, None)

    @property
    def next_look(self) -> float | None:
        """When to call :meth:`given_up`; None while there are no leases."""
        return min((*self._ends.values(), *self._reprieved.values()), default=None)

    def given_up(self, now: float) -> list[Holder]:
        """The holders that have not been heard for too long. They have no leases any more."""
        over = [holder for holder, until in self._reprieved.items() if until <= now]
        late = {holder for holder in over if now > self._reprieved[holder] + self._reprieve / 2}
        for holder in over:
            del self._reprieved[holder]
        ended = [holder for holder, until in self._ends.items() if until <= now]
        for holder in ended:
            del self._ends[holder]
        self._reprieved |= dict.fromkeys((*late, *ended), now + self._reprieve)
        return [holder for holder in over if holder not in late]
