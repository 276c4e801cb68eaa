"""Dials agents: keeps connections to the wanted instances that have a port."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from zeekfleet.broker import topics
from zeekfleet.model.enums import Role
from zeekfleet.model.management import Instance
from zeekfleet.transport.connections import Connections
from zeekfleet.transport.encryption import Encryption

logger = logging.getLogger(__name__)

Place = tuple[str, int]


class Dialling:
    """Keeps exactly the connections that are wanted. An existing connection that is still wanted is not touched.

    Args:
        connections: the controller's connections.
        encryption: how connections are encrypted.
    """

    def __init__(self, connections: Connections, encryption: Encryption) -> None:
        self._connections = connections
        self._encryption = encryption
        self._connected: set[Place] = set()

    def connect_to(self, instances: Iterable[Instance]) -> None:
        """Connect to these instances and close other connections, after what was sent over them has been delivered.

        If several instances have the same address and port, the connection is for the first of them.
        """
        wanted: dict[Place, Instance] = {}
        for instance in instances:
            if instance.listen_port is None:
                continue
            if problem := self._encryption.problem(str(instance.host)):
                facts = {"instance": instance.name, "error": problem}
                logger.error("instance %s is not connected to: %s", instance.name, problem, extra=facts)
            else:
                wanted.setdefault((str(instance.host), instance.listen_port.number), instance)
        for place in sorted(self._connected - wanted.keys()):
            self._connections.hang_up(*place)
        for place, instance in wanted.items():
            if place not in self._connected:
                own = (topics.agent(instance.name), topics.secrets(instance.name))
                label = f"the agent of instance {instance.name} at"
                tls = self._encryption.towards_agent(place[0], instance.name)
                self._connections.dial(*place, publish=own, tls=tls, role=Role.AGENT, instance=instance, label=label)
        self._connected = set(wanted)
