"""What a deployment does about each node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from zeekfleet.model.types import Record

KEEP = "keep"
START = "start"
STOP = "stop"
RESTART = "restart"

WORDS: Final[Mapping[str, str]] = {
    KEEP: "unchanged",
    START: "started",
    STOP: "stopped",
    RESTART: "restarted",
}
"""By action, the past participle that tells a person what was done to the node."""


class NodeAction(Record, frozen=True):
    """What a deployment does about one node.

    Attributes:
        node: the node's name.
        instance: the instance that runs the node.
        action: ``keep``, ``start``, ``stop`` or ``restart``.
        why: the names of what changed, such as ``interface``, ``env``, ``scripts``, ``cluster`` or ``forced``.
    """

    zeek_name: ClassVar[str] = "Zeekfleet::NodeAction"

    node: str
    instance: str
    action: str
    why: tuple[str, ...] = ()


def action_text(action: NodeAction) -> str:
    """What was done to the node, such as ``unchanged`` or ``restarted (interface, env)``.

    An action of a newer release, which this one does not know, is shown as it is.
    """
    reasons = f" ({', '.join(action.why)})" if action.why else ""
    return f"{WORDS.get(action.action, action.action)}{reasons}"
