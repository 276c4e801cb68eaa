"""Which agents the controller connects to, and for whom: a connection stays while any configuration wants it."""

from __future__ import annotations

from collections import Counter

from zeekfleet.broker import topics
from zeekfleet.model.management import Instance
from zeekfleet.transport.endpoint import Endpoint

Place = tuple[str, int]


class Dialling:
    """Connects to the instances that have a port, and lets go of those that nobody wants any more.

    Wanting a place that is connected already leaves the connection alone: what runs there is not disturbed.

    Args:
        endpoint: the controller's.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._wanted: Counter[Place] = Counter()

    def want(self, instance: Instance) -> None:
        """Keep a connection to the instance; each call needs its :meth:`let_go`."""
        place = _place(instance)
        if place is None:
            return
        self._wanted[place] += 1
        if self._wanted[place] == 1:
            own = (topics.agent(instance.name), topics.secrets(instance.name))
            self._endpoint.peer(*place, publish=own, role=f"the agent of instance {instance.name} at")

    def let_go(self, instance: Instance) -> None:
        """One who wanted a connection to the instance does no longer; what was sent before still arrives."""
        place = _place(instance)
        if place is None:
            return
        self._wanted[place] -= 1
        if self._wanted[place] <= 0:
            del self._wanted[place]
            self._endpoint.unpeer(*place)


def _place(instance: Instance) -> Place | None:
    return None if instance.listen_port is None else (str(instance.host), instance.listen_port.number)
