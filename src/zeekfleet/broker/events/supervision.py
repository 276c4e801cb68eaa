"""What zeekfleet's supervisor tells beyond the protocol; a peer that does not know these events loses nothing."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event, OutcomeResponse, Response, SupervisorRequest
from zeekfleet.model.supervision import NodeDetails
from zeekfleet.model.types import Count, Integer


class DetailsResponse(Response, frozen=True):
    """The nodes asked for, by name."""

    event_name: ClassVar[str] = "Zeekfleet::Supervisor::API::details_response"
    result: dict[str, NodeDetails]


class DetailsRequest(SupervisorRequest[DetailsResponse], frozen=True):
    """Ask for the details of one node, or of all when ``node`` is empty."""

    event_name: ClassVar[str] = "Zeekfleet::Supervisor::API::details_request"
    node: str = ""


class FailResponse(OutcomeResponse, frozen=True):
    """Whether that process is no more."""

    event_name: ClassVar[str] = "Zeekfleet::Supervisor::API::fail_response"


class FailRequest(SupervisorRequest[FailResponse], frozen=True):
    """Have a node's process end as by itself: it is revived as the policy says, and not because it was asked to.

    Attributes:
        reqid: of the request.
        node: its name.
        pid: the process that is meant; nothing is done if the node has another one by now.
        signal: what it is sent before its grace begins, ``SIGTERM`` or ``SIGABRT``.
    """

    event_name: ClassVar[str] = "Zeekfleet::Supervisor::API::fail_request"
    node: str
    pid: Count
    signal: str = "SIGTERM"


class NodeStopping(Event, frozen=True):
    """A node that was asked to end still works, and is given time. Told every few seconds, on the topic of node exits.

    Attributes:
        node: its name.
        pid: the process.
        written: bytes that it has written since it was asked.
        cpu: seconds of CPU that it has used since.
        elapsed: seconds since it was asked.
    """

    event_name: ClassVar[str] = "Zeekfleet::Supervisor::API::node_stopping"
    node: str
    pid: Count
    written: Count
    cpu: float
    elapsed: float


class Hurry(Event, frozen=True):
    """Give these nodes, or all if none is named, no more than their grace if they are being stopped. Unanswered."""

    event_name: ClassVar[str] = "Zeekfleet::Supervisor::API::hurry"
    nodes: frozenset[str]


class NodeExitDetail(Event, frozen=True):
    """Published right after ``notify_node_exit``, on its topic.

    Attributes:
        node: its name.
        pid: the process; None if it could not be started.
        reason: how it ended, for a person.
        code: exit code; None if a signal ended it, or nobody knows.
        signal: the name of the signal.
        core_dumped: it left a core.
        out_of_memory: the kernel killed it for want of memory.
        requested: it was asked to end.
        revive_in: seconds until it is started again; None for never.
        failed: it is in a crash loop, or cannot be started.
        uptime: seconds that it lived.
        restarts: how often it had been started again.
        crash_report: the directory of its crash report, ``""`` if there is none.
        attempt: which end by itself it was within ``window``, counted from 1; 0 if nobody has counted.
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
    """A node has just become a failed one: it is tried again only now and then, or never. On the same topic."""

    event_name: ClassVar[str] = "Zeekfleet::Supervisor::API::node_failed"
    node: str
    reason: str
