"""The value of ``ZEEKFLEET_LAUNCH``: by it a process is known as a stem's own, whatever else is lost.

``<tree>:l:<number>:<name>`` for a node's processes, ``<tree>:f:<number>`` for those of a
fork server, the nodes that it forks included. Without the number of the launch,
``<tree>:n:<name>``, it was written by a former release.
"""

from __future__ import annotations

import msgspec

CONFIG_VARIABLE = "ZEEKFLEET_NODE_CONFIG"
"""Beside the mark in a node's environment: the path of its own configuration, in its directory."""

CONFIG_FILE = ".zeekfleet-node.json"


class Mark(msgspec.Struct, frozen=True):
    """A mark that was read.

    Attributes:
        tree: of which stem.
        node: of which node; None for a fork server's.
        launch: the how manieth start of the node it is from, counted from 0; None where it does not tell.
    """

    tree: str
    node: str | None = None
    launch: int | None = None


def of_launch(tree: str, name: str, number: int) -> str:
    """What the processes of one launch of a node carry."""
    return f"{tree}:l:{number}:{name}"


def of_fork_server(tree: str, number: str) -> str:
    """What a fork server and the nodes that it forks carry."""
    return f"{tree}:f:{number}"


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
