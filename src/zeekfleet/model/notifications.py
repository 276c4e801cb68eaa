"""The controller's record of what happened in the cluster. Zeek's framework has no such record."""

from __future__ import annotations

import enum
from typing import ClassVar

from zeekfleet.model.enums import State
from zeekfleet.model.types import Record


class NotificationKind(enum.StrEnum):
    """What happened.

    The first three are an agent's ``notify_change``, ``notify_error`` and ``notify_log`` (docs/protocol.md, section 6).
    """

    CHANGE = "change"
    ERROR = "error"
    LOG = "log"
    DEPLOYMENT = "deployment"
    CONNECTED = "connected"
    GONE = "gone"


class Notification(Record, frozen=True):
    """One thing that happened.

    Attributes:
        kind: a :class:`NotificationKind`, or a kind that only a newer release knows.
        time: when the controller learned of it, in seconds since 1970.
        instance: the instance that it is about, or ``""``; an error may have the controller's name here.
        node: the node that it is about, or ``""``.
        message: a sentence for a person; empty for a change of state.
        old: the node's state before a change.
        new: the node's state after a change.
        config: the id of the configuration that was deployed, or ``""``.
        success: whether the deployment succeeded.
        by: who wanted the deployment, and from where; ``""`` for the controller itself.
    """

    zeek_name: ClassVar[str] = "Zeekfleet::Notification"

    kind: str
    time: float
    instance: str = ""
    node: str = ""
    message: str = ""
    old: State | None = None
    new: State | None = None
    config: str = ""
    success: bool | None = None
    by: str = ""
