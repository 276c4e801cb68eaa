"""Have nodes that are being stopped get no more than their grace."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.stops import ControllerHurry, NotifyNodeStopping
from zeekfleet.client.carrier import Carrier


class HurryVerb(Carrier):
    """Hurries nodes that are being stopped."""

    def hurry(self, nodes: Collection[str]) -> None:
        """Have these nodes get no more than their grace if they are being stopped."""
        self.tell(ControllerHurry(frozenset(nodes)))

    @contextmanager
    def _hurrying(self, now: bool) -> Iterator[None]:
        """While the body waits, hurry each node that is reported to take its time; do nothing if ``now`` is False."""
        if not now:
            yield
            return

        def hurry(_: str, event: Event) -> bool:
            if isinstance(event, NotifyNodeStopping):
                self.hurry((event.node,))
            return False

        with self.watching(hurry):
            yield
