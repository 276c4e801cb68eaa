"""What the controller knows about an instance, even while it cannot reach it. Zeek's framework has no such record."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.model.supervision import NodeReport
from zeekfleet.model.types import Record


class InstancePresence(Record, frozen=True):
    """An instance as the controller sees it; times are in seconds since 1970, by the controller's clock.

    Attributes:
        name: its name.
        configured: whether it is part of the current configuration.
        connected: whether its agent is connected and has said hello.
        heard_at: when its agent last sent anything; None for never.
        gone_since: when it disconnected; None if it is connected, never was, or went while no controller ran.
        silent_since: when it was sent a request that it has not answered, if it has sent nothing since.
        supervisor_away_since: when its agent lost its supervisor, by the agent's clock; None if it has one.
        reported_at: the time of ``reports``; None if its agent never reported its nodes.
        reports: its nodes, as its agent last reported them.
    """

    zeek_name: ClassVar[str] = "Zeekfleet::InstancePresence"

    name: str
    configured: bool = False
    connected: bool = False
    heard_at: float | None = None
    gone_since: float | None = None
    silent_since: float | None = None
    supervisor_away_since: float | None = None
    reported_at: float | None = None
    reports: tuple[NodeReport, ...] = ()
