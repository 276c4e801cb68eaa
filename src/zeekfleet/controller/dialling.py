"""Connections that the controller makes to agents: to those that have a port and are wanted."""

from __future__ import annotations

from collections.abc import Iterable

from zeekfleet.broker import topics
from zeekfleet.model.enums import Role
from zeekfleet.model.management import Instance
from zeekfleet.transport.connections import Connections

Place = tuple[str, int]


class Dialling:
    """Has exactly the connections that are wanted. One that is wanted still is left alone.

    Args:
        connections: the controller's.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._connected: set[Place] = set()

    def connect_to(self, instances: Iterable[Instance]) -> None:
        """Connect to these instances and close the other connections; what was sent over these before still arrives.

        Where several instances name one place, it is for the first of them.
        """
        wanted: dict[Place, Instance] = {}
        for instance in instances:
            if instance.listen_port is not None:
                wanted.setdefault((str(instance.host), instance.listen_port.number), instance)
        for place in sorted(self._connected - wanted.keys()):
            self._connections.hang_up(*place)
        for place, instance in wanted.items():
            if place not in self._connected:
                own = (topics.agent(instance.name), topics.secrets(instance.name))
                label = f"the agent of instance {instance.name} at"
                self._connections.dial(*place, publish=own, role=Role.AGENT, instance=instance, label=label)
        self._connected = set(wanted)
