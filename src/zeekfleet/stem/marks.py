"""The value of ``ZEEKFLEET_LAUNCH``: by it a process is known as a stem's own, whatever else is lost.

``<tree>:l:<number>:<name>``, with the number of the launch. Former releases wrote
``<tree>:n:<name>``, or ``<tree>:f:<number>:`` for a process that forked simulated nodes,
whose mark those nodes carried.
"""

from __future__ import annotations

import msgspec

from zeekfleet.model import names

CONFIG_VARIABLE = "ZEEKFLEET_NODE_CONFIG"
"""Beside the mark in a node's environment: the path of its own configuration, in its directory."""

DESCRIPTOR_VARIABLE = "ZEEKFLEET_FORKSERVER_FD"
"""In the environment of simulated nodes that a former release forked instead of executing them."""

CONFIG_FILE = names.CONFIG_FILE


class Mark(msgspec.Struct, frozen=True):
    """A mark that was read.

    Attributes:
        tree: of which stem.
        node: of which node; None where the mark does not tell.
        launch: the number of the launch, from 0; None where the mark does not tell.
    """

    tree: str
    node: str | None = None
    launch: int | None = None


def of_launch(tree: str, name: str, number: int) -> str:
    """What the processes of one launch of a node carry."""
    return f"{tree}:l:{number}:{name}"


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
