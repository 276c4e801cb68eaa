"""The agent's notifications to the controller, in both generations' names (docs/protocol.md, sections 6 and 9)."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from zeekfleet.broker import topics
from zeekfleet.broker.events import agent as events
from zeekfleet.broker.events import checks
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.deployments import NotifyNodeActions
from zeekfleet.broker.events.dispatches import NotifyTraceDone
from zeekfleet.broker.events.presence import NotifyAlive, NotifySupervisor
from zeekfleet.broker.events.stops import NotifyNodeStopping
from zeekfleet.broker.events.supervision import NodeStopping
from zeekfleet.broker.generations import FIRST, SECOND
from zeekfleet.model.deployments import NodeAction
from zeekfleet.model.enums import State
from zeekfleet.model.management import Node
from zeekfleet.model.supervision import work_text
from zeekfleet.model.types import Address
from zeekfleet.transport.bus import Bus

logger = logging.getLogger(__name__)


class Notifier:
    """Publishes the agent's notifications on the topics of both generations.

    Args:
        bus: the agent's bus.
        instance: the agent's name.
        connecting: whether the agent dials the controller.
        host: the address on which the agent listens.
        capabilities: what the agent can do in addition to the protocol.
    """

    def __init__(
        self,
        bus: Bus,
        instance: str,
        connecting: bool,
        host: Address,
        capabilities: frozenset[str] = frozenset(),
    ) -> None:
        self._bus = bus
        self._instance = instance
        self._connecting = connecting
        self._host = host
        self._capabilities = capabilities
        self._topic = topics.agent(instance)

    def hello(self) -> None:
        """Say hello to the controllers."""
        logger.info("checking in as %s", self._instance)
        hello = events.NotifyAgentHello(self._instance, self._bus.id, self._connecting, events.API_VERSION)
        self._bus.publish(self._topic, hello, SECOND)
        if self._capabilities:
            self._bus.publish(self._topic, checks.NotifyCapabilities(self._instance, self._capabilities), SECOND)
        first = events.FirstNotifyAgentHello(self._instance, self._host, events.API_VERSION)
        self._bus.publish(self._topic, first, FIRST)

    def alive(self) -> None:
        """Renew the agent's lease."""
        self._bus.publish(self._topic, NotifyAlive(self._instance), SECOND)

    def supervisor(self, away_since: float | None) -> None:
        """The supervisor is away since this time, in seconds since 1970; None if it is connected."""
        self._bus.publish(self._topic, NotifySupervisor(self._instance, away_since), SECOND)

    def change(self, node: Node, old: State, new: State) -> None:
        """A node's state has changed."""
        facts = {"node": node.name, "role": node.role.name.lower()}
        logger.info("node %s: %s to %s", node.name, old, new, extra=facts)
        self._both(events.NotifyChange(self._instance, node, old, new))

    def trace_done(self, node: str, path: str) -> None:
        """A node has read its trace to the end."""
        logger.info("node %s has read %s", node, path, extra={"node": node})
        self._bus.publish(self._topic, NotifyTraceDone(self._instance, node, path))

    def node_actions(self, reqid: str, config_id: str, actions: tuple[NodeAction, ...]) -> None:
        """Tell what a deployment is about to do; no node has been touched yet."""
        self._bus.publish(self._topic, NotifyNodeActions(self._instance, reqid, config_id, actions), SECOND)

    def stopping(self, news: NodeStopping) -> None:
        """A node that was told to end still works."""
        self.log(f"node {news.node} is {work_text(news.written, news.cpu)}", news.node)
        event = NotifyNodeStopping(self._instance, news.node, news.written, news.cpu, news.elapsed)
        self._bus.publish(self._topic, event)

    def error(self, message: str, node: str = "", facts: Mapping[str, object] | None = None) -> None:
        """Report that something failed; ``facts`` are fields of the log line."""
        logger.error(message, extra=_about(node, facts))
        self._both(events.NotifyError(self._instance, message, node))

    def log(self, message: str, node: str = "", facts: Mapping[str, object] | None = None) -> None:
        """Report a step; ``facts`` are fields of the log line."""
        logger.info(message, extra=_about(node, facts))
        self._both(events.NotifyLog(self._instance, message, node))

    def _both(self, event: Event) -> None:
        self._bus.publish(self._topic, event, SECOND)
        self._bus.publish(self._topic, event, FIRST)


def _about(node: str, facts: Mapping[str, object] | None) -> dict[str, object]:
    return ({"node": node} if node else {}) | dict(facts or {})
