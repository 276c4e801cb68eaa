"""``Zeekfleet::``: having cluster nodes run any action, and what nodes tell unasked beyond the protocol."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event, Request, ResultsResponse


class ControllerDispatchResponse(ResultsResponse, frozen=True):
    """One result a node; ``data`` is what ``model.dispatches.DATA`` says of the action."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::dispatch_response"


class ControllerDispatchRequest(Request[ControllerDispatchResponse], frozen=True):
    """Have cluster nodes run an action, such as ``["net_stats"]``; no ``nodes`` means all."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::dispatch_request"
    action: tuple[str, ...]
    nodes: frozenset[str] = frozenset()


class NodePeers(Event, frozen=True):
    """Which nodes a node must be connected to and is not: told with each hello if there are any, and at each change."""

    event_name: ClassVar[str] = "Zeekfleet::notify_peers"
    node: str
    missing: tuple[str, ...]


class NodeTraceDone(Event, frozen=True):
    """A node has read its trace to the end; it tells this again with each hello."""

    event_name: ClassVar[str] = "Zeekfleet::notify_trace_done"
    node: str
    path: str


class NotifyTraceDone(Event, frozen=True):
    """The same, as an agent tells it on its own topic."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::notify_trace_done"
    instance: str
    node: str
    path: str
