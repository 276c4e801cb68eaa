"""Have nodes that are being stopped killed when their grace is over."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.stops import ControllerHurry, NotifyNodeStopping
from zeekfleet.client.carrier import Carrier


class HurryVerb(Carrier):
    """Hurries nodes that are being stopped."""

    def hurry(self, nodes: Collection[str]) -> None:
        """If these nodes are being stopped, have them killed when their grace is over, even if they still write."""
        self.tell(ControllerHurry(frozenset(nodes)))

    @contextmanager
    def _hurrying(self, now: bool) -> Iterator[None]:
        """While the context lasts, hurry each node that reports that it still works; if not ``now``, do nothing."""
        if not now:
            yield
            return

        def hurry(_: str, event: Event) -> bool:
            if isinstance(event, NotifyNodeStopping):
                self.hurry((event.node,))
            return False

        with self.watching(hurry):
            yield
