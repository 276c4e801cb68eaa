"""``Zeekfleet::``: what zeekfleet's supervisor reports in addition to the protocol."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event, OutcomeResponse, Response, SupervisorRequest
from zeekfleet.model.supervision import NodeDetails
from zeekfleet.model.types import Count, Integer


class DetailsResponse(Response, frozen=True):
    """The details of the nodes that were asked for, by name."""

    event_name: ClassVar[str] = "Zeekfleet::Supervisor::API::details_response"
    result: dict[str, NodeDetails]


class DetailsRequest(SupervisorRequest[DetailsResponse], frozen=True):
    """Ask for the details of one node, or of all if ``node`` is empty."""

    event_name: ClassVar[str] = "Zeekfleet::Supervisor::API::details_request"
    node: str = ""


class FailResponse(OutcomeResponse, frozen=True):
    """Whether the process has ended."""

    event_name: ClassVar[str] = "Zeekfleet::Supervisor::API::fail_response"


class FailRequest(SupervisorRequest[FailResponse], frozen=True):
    """End a node's process and treat this as a crash: the revival policy decides when the node is started again.

    Attributes:
        reqid: the request's id.
        node: the node's name.
        pid: the process to end; if the node has another process by now, nothing is done.
        signal: the signal before its grace begins, ``SIGTERM`` or ``SIGABRT``.
    """

    event_name: ClassVar[str] = "Zeekfleet::Supervisor::API::fail_request"
    node: str
    pid: Count
    signal: str = "SIGTERM"


class NodeStopping(Event, frozen=True):
    """A node that was told to end still works, and is given more time. Sent every few seconds, on the topic of exits.

    Attributes:
        node: the node's name.
        pid: its process id.
        written: bytes that it has written since it was told to end.
        cpu: seconds of CPU that it has used since then.
        elapsed: seconds since it was told to end.
    """

    event_name: ClassVar[str] = "Zeekfleet::Supervisor::API::node_stopping"
    node: str
    pid: Count
    written: Count
    cpu: float
    elapsed: float


class Hurry(Event, frozen=True):
    """If these nodes (all, if none is named) are being stopped, kill them when their grace is over. No response."""

    event_name: ClassVar[str] = "Zeekfleet::Supervisor::API::hurry"
    nodes: frozenset[str]


class NodeExitDetail(Event, frozen=True):
    """How a node ended, and what comes next; published right after ``notify_node_exit``, on the same topic.

    Attributes:
        node: the node's name.
        pid: its process id; None if it could not be started.
        reason: how it ended, for a person.
        code: the exit code; None if a signal ended it, or it is unknown.
        signal: the name of the signal.
        core_dumped: whether it left a core.
        out_of_memory: whether the kernel killed it because memory was short.
        requested: whether it was told to end.
        revive_in: seconds until it is started again; None for never.
        failed: whether it is in a crash loop, or cannot be started.
        uptime: how many seconds it ran.
        restarts: how often it had been started again before.
        crash_report: the directory of its crash report; ``""`` if there is none.
        attempt: the number of this unrequested end within ``window``, counted from 1; 0 if it was not counted.
        window: the seconds within which ends are counted.
    """

    event_name: ClassVar[str] = "Zeekfleet::Supervisor::API::node_exit_detail"
    node: str
    pid: Count | None
    reason: str
    code: Integer | None
    signal: str | None
    core_dumped: bool
    out_of_memory: bool
    requested: bool
    revive_in: float | None
    failed: bool
    uptime: float
    restarts: Count
    crash_report: str
    attempt: Count = 0
    window: float = 0.0


class NodeFailed(Event, frozen=True):
    """A node has just failed: it is started only now and then from now on, or never. On the topic of exits."""

    event_name: ClassVar[str] = "Zeekfleet::Supervisor::API::node_failed"
    node: str
    reason: str
