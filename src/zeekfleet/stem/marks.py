"""The value of ``ZEEKFLEET_LAUNCH``: by it a process is known as a stem's own, whatever else is lost.

``<tree>:l:<number>:<name>`` for a node's processes, ``<tree>:f:<number>:<padding>`` for a
fork server. Without the number of the launch, ``<tree>:n:<name>``, it was written by a
former release; in those, nodes that were forked carried their fork server's mark.
"""

from __future__ import annotations

import msgspec

from zeekfleet.model import names
from zeekfleet.model.names import MAX_NAME_BYTES

CONFIG_VARIABLE = "ZEEKFLEET_NODE_CONFIG"
"""Beside the mark in a node's environment: the path of its own configuration, in its directory."""

DESCRIPTOR_VARIABLE = "ZEEKFLEET_FORKSERVER_FD"
"""In the environment that a fork server was executed with, and so in that of all that it forks: its socket."""

CONFIG_FILE = names.CONFIG_FILE

_LONGEST = 64 + MAX_NAME_BYTES
"""Bytes of a node's mark at most: the name of its tree, a number, and its own name."""


class Mark(msgspec.Struct, frozen=True):
    """A mark that was read.

    Attributes:
        tree: of which stem.
        node: of which node; None for a fork server's.
        launch: the number of the launch, from 0; None where the mark does not tell.
    """

    tree: str
    node: str | None = None
    launch: int | None = None


def of_launch(tree: str, name: str, number: int) -> str:
    """What the processes of one launch of a node carry."""
    return f"{tree}:l:{number}:{name}"


def of_fork_server(tree: str, number: str) -> str:
    """What a fork server carries, as long as any node's mark: what it forks writes its own in that place."""
    return f"{tree}:f:{number}:".ljust(_LONGEST, "-")


def read(text: str) -> Mark | None:
    """The inverse; None if it is no mark."""
    tree, _, rest = text.partition(":")
    kind, _, rest = rest.partition(":")
    match kind:
        case "l":
            number, _, name = rest.partition(":")
            return Mark(tree, name, int(number)) if number.isdecimal() and name else None
        case "n":
            return Mark(tree, rest) if rest else None
        case "f":
            return Mark(tree)
        case _:
            return None
