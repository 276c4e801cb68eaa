"""How long a program counts as present although nothing is heard of it: pure bookkeeping."""

from __future__ import annotations

from typing import Generic, TypeVar

Holder = TypeVar("Holder")


class Leases(Generic[Holder]):
    """Leases, all of the same length. A holder that is heard gets a whole lease again.

    A holder is not given up when its lease ends, but only after a reprieve. This is for when our own process was
    suspended: then all leases have ended, but the holders' signs of life are still unread in the sockets. The reprieve
    is the time to read them. If :meth:`given_up` is called much too late after a reprieve, our process was suspended
    again, and the reprieve is granted once more. One case is not noticed: a short pause during the reprieve, before
    anything was read.

    All times are seconds of one monotonic clock.

    Args:
        length: for how long a sign of life counts.
        reprieve: the time between the end of a lease and giving its holder up. A call that comes later than that by
            more than half of this time is much too late.
    """

    def __init__(self, length: float, reprieve: float) -> None:
        self._length = length
        self._reprieve = reprieve
        self._ends: dict[Holder, float] = {}
        self._reprieved: dict[Holder, float] = {}

    def grant(self, holder: Holder, now: float) -> None:
        """Give a holder a new lease, whether it has one or not."""
        self._reprieved.pop(holder, None)
        self._ends[holder] = now + self._length

    def heard(self, holder: Holder, now: float) -> None:
        """Renew a holder's lease. Does nothing if it has none."""
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
        """The holders that have not been heard for too long. Their leases are removed."""
        over = [holder for holder, until in self._reprieved.items() if until <= now]
        late = {holder for holder in over if now > self._reprieved[holder] + self._reprieve / 2}
        for holder in over:
            del self._reprieved[holder]
        ended = [holder for holder, until in self._ends.items() if until <= now]
        for holder in ended:
            del self._ends[holder]
        self._reprieved |= dict.fromkeys((*late, *ended), now + self._reprieve)
        return [holder for holder in over if holder not in late]
