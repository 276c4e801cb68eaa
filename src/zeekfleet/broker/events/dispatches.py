"""``Zeekfleet::``: having cluster nodes run any action, and nodes' notifications in addition to the protocol."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event, Request, ResultsResponse


class ControllerDispatchResponse(ResultsResponse, frozen=True):
    """One result for each node; ``data`` has the type that ``model.dispatches.DATA`` gives for the action."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::dispatch_response"


class ControllerDispatchRequest(Request[ControllerDispatchResponse], frozen=True):
    """Have cluster nodes run an action, such as ``["net_stats"]``; an empty ``nodes`` means all."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::dispatch_request"
    action: tuple[str, ...]
    nodes: frozenset[str] = frozenset()


class NodePeers(Event, frozen=True):
    """The nodes that a node should be connected to and is not; sent with each hello if there are any, and on change."""

    event_name: ClassVar[str] = "Zeekfleet::notify_peers"
    node: str
    missing: tuple[str, ...]


class NodeTraceDone(Event, frozen=True):
    """A node has read its trace to the end; sent again with each later hello."""

    event_name: ClassVar[str] = "Zeekfleet::notify_trace_done"
    node: str
    path: str


class NotifyTraceDone(Event, frozen=True):
    """The same, published by an agent on its own topic."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::notify_trace_done"
    instance: str
    node: str
    path: str
