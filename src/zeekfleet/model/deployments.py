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
"""By action, what has become of the node once it is done."""


class NodeAction(Record, frozen=True):
    """What a deployment does about one node.

    Attributes:
        node: its name.
        instance: where it runs.
        action: ``keep``, ``start``, ``stop`` or ``restart``.
        why: names of what changed, such as ``interface``, ``env``, ``scripts``, ``cluster`` or ``forced``.
    """

    zeek_name: ClassVar[str] = "Zeekfleet::NodeAction"

    node: str
    instance: str
    action: str
    why: tuple[str, ...] = ()


def action_text(action: NodeAction) -> str:
    """What has become of the node, such as ``unchanged`` or ``restarted (interface, env)``.

    An action that this release does not know is told as it came.
    """
    reasons = f" ({', '.join(action.why)})" if action.why else ""
    return f"{WORDS.get(action.action, action.action)}{reasons}"
