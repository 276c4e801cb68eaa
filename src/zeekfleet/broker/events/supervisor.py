"""``SupervisorControl`` and ``Management::Supervisor::API`` (docs/protocol.md, section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from zeekfleet.broker.events.base import Event, OutcomeResponse, Response, SupervisorRequest
from zeekfleet.model.management import NodeOutputs
from zeekfleet.model.supervisor import NodeConfig, Status
from zeekfleet.model.types import Count


class CreateResponse(Response, frozen=True):
    """``result`` is ``""`` on success, else what went wrong."""

    event_name: ClassVar[str] = "SupervisorControl::create_response"
    result: str

    @classmethod
    def failure(cls, reqid: str, errors: Sequence[str], instance: str | None) -> Self:
        return cls(reqid, "; ".join(errors))


class CreateRequest(SupervisorRequest[CreateResponse], frozen=True):
    """Create a supervised node."""

    event_name: ClassVar[str] = "SupervisorControl::create_request"
    node: NodeConfig


class StatusResponse(Response, frozen=True):
    """The status of the nodes that were asked for."""

    event_name: ClassVar[str] = "SupervisorControl::status_response"
    result: Status


class StatusRequest(SupervisorRequest[StatusResponse], frozen=True):
    """Ask for the status of one node, or of all if ``node`` is empty."""

    event_name: ClassVar[str] = "SupervisorControl::status_request"
    node: str = ""


class RestartResponse(OutcomeResponse, frozen=True):
    """Whether the nodes were restarted."""

    event_name: ClassVar[str] = "SupervisorControl::restart_response"


class RestartRequest(SupervisorRequest[RestartResponse], frozen=True):
    """Restart one node, or all if ``node`` is empty."""

    event_name: ClassVar[str] = "SupervisorControl::restart_request"
    node: str = ""


class DestroyResponse(OutcomeResponse, frozen=True):
    """Whether the nodes were destroyed."""

    event_name: ClassVar[str] = "SupervisorControl::destroy_response"


class DestroyRequest(SupervisorRequest[DestroyResponse], frozen=True):
    """Destroy one node, or all if ``node`` is empty."""

    event_name: ClassVar[str] = "SupervisorControl::destroy_request"
    node: str = ""


class StopRequest(Event, frozen=True):
    """Stop the whole process tree. There is no response."""

    event_name: ClassVar[str] = "SupervisorControl::stop_request"


class NodeStatus(Event, frozen=True):
    """A process of a node has been started."""

    event_name: ClassVar[str] = "SupervisorControl::node_status"
    node: str
    pid: Count


class NotifyNodeExit(Event, frozen=True):
    """A node has exited; ``outputs`` has its last lines."""

    event_name: ClassVar[str] = "Management::Supervisor::API::notify_node_exit"
    node: str
    outputs: NodeOutputs
