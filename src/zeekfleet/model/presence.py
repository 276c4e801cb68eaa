"""What the controller knows of an instance that it may not be able to ask: nothing that Zeek knows of."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.model.supervision import NodeReport
from zeekfleet.model.types import Record


class InstancePresence(Record, frozen=True):
    """An instance as the controller sees it; times are in seconds since 1970, by the controller's clock.

    Attributes:
        name: its name.
        configured: whether it is part of the current configuration.
        connected: whether its agent is connected, and has said hello.
        heard_at: when anything was last heard of it; None for never.
        gone_since: when it went; None if it is connected, never was, or went while no controller ran.
        silent_since: when it was asked something that it has not answered, if nothing was heard of it since.
        supervisor_away_since: when its agent lost its supervisor, by the agent's clock; None if it has one.
        reported_at: when its nodes were as ``reports`` says; None if they were never told.
        reports: its nodes, as its agent told them last.
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
