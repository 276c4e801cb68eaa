"""``SupervisorControl`` and ``Management::Supervisor::API`` (docs/protocol.md, section 5)."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event
from zeekfleet.model.management import NodeOutputs
from zeekfleet.model.supervisor import NodeConfig, Status
from zeekfleet.model.types import Count


class CreateResponse(Event, frozen=True):
    """Empty ``result`` on success, else what went wrong."""

    event_name: ClassVar[str] = "SupervisorControl::create_response"
    reqid: str
    result: str


class CreateRequest(Event, frozen=True):
    """Create a supervised node."""

    event_name: ClassVar[str] = "SupervisorControl::create_request"
    response: ClassVar[type[Event] | None] = CreateResponse
    reqid: str
    node: NodeConfig


class StatusResponse(Event, frozen=True):
    """The status of the nodes asked for."""

    event_name: ClassVar[str] = "SupervisorControl::status_response"
    reqid: str
    result: Status


class StatusRequest(Event, frozen=True):
    """The status of one node, or of all when ``node`` is empty."""

    event_name: ClassVar[str] = "SupervisorControl::status_request"
    response: ClassVar[type[Event] | None] = StatusResponse
    reqid: str
    node: str = ""


class RestartResponse(Event, frozen=True):
    """Whether the nodes were restarted."""

    event_name: ClassVar[str] = "SupervisorControl::restart_response"
    reqid: str
    result: bool


class RestartRequest(Event, frozen=True):
    """Restart one node, or all when ``node`` is empty."""

    event_name: ClassVar[str] = "SupervisorControl::restart_request"
    response: ClassVar[type[Event] | None] = RestartResponse
    reqid: str
    node: str = ""


class DestroyResponse(Event, frozen=True):
    """Whether the nodes were destroyed."""

    event_name: ClassVar[str] = "SupervisorControl::destroy_response"
    reqid: str
    result: bool


class DestroyRequest(Event, frozen=True):
    """Destroy one node, or all when ``node`` is empty."""

    event_name: ClassVar[str] = "SupervisorControl::destroy_request"
    response: ClassVar[type[Event] | None] = DestroyResponse
    reqid: str
    node: str = ""


class StopRequest(Event, frozen=True):
    """Stop the whole process tree; there is no answer."""

    event_name: ClassVar[str] = "SupervisorControl::stop_request"


class NodeStatus(Event, frozen=True):
    """A node has (re-)started."""

    event_name: ClassVar[str] = "SupervisorControl::node_status"
    node: str
    pid: Count


class NotifyNodeExit(Event, frozen=True):
    """A node has exited; the last lines of its streams come with it."""

    event_name: ClassVar[str] = "Management::Supervisor::API::notify_node_exit"
    node: str
    outputs: NodeOutputs
