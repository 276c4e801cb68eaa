"""``Management::Node::API``: between agent and cluster nodes (docs/protocol.md, section 7)."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event
from zeekfleet.model.management import Result


class NodeDispatchResponse(Event, frozen=True):
    """One node's answer; ``result.node`` is set."""

    event_name: ClassVar[str] = "Management::Node::API::node_dispatch_response"
    reqid: str
    result: Result


class NodeDispatchRequest(Event, frozen=True):
    """Run an action; an empty ``nodes`` means all. A node that is not meant does not answer."""

    event_name: ClassVar[str] = "Management::Node::API::node_dispatch_request"
    reqid: str
    action: tuple[str, ...]
    nodes: frozenset[str] = frozenset()


class NotifyNodeHello(Event, frozen=True):
    """The node is up and answers requests."""

    event_name: ClassVar[str] = "Management::Node::API::notify_node_hello"
    node: str


class HelloRequest(Event, frozen=True):
    """Every node that receives this says hello. Ours: a node publishes it when an agent has connected to it."""

    event_name: ClassVar[str] = "Zeekfleet::hello_request"
