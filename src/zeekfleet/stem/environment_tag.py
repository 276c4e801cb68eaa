"""The value of ``ZEEKFLEET_LAUNCH``: the variable that marks every process below a stem.

The form is ``<tree>:l:<number>:<name>``: the tree of the stem, the number of the launch,
and the name of the node. Former releases wrote ``<tree>:n:<name>``, and
``<tree>:f:<number>:`` for a process that forked simulated nodes; these nodes carried its
tag instead of one of their own.
"""

from __future__ import annotations

import msgspec

FORKED_VARIABLE = "ZEEKFLEET_FORKSERVER_FD"
"""In the environment of simulated nodes that a former release forked instead of executing them."""


class Tag(msgspec.Struct, frozen=True):
    """A tag that was read.

    Attributes:
        tree: the stem's tree.
        node: the name of the node; None if the tag does not tell.
        launch: the number of the launch, from 0; None if the tag does not tell.
    """

    tree: str
    node: str | None = None
    launch: int | None = None


def is_name(tree: str) -> bool:
    """Whether this can be the name of a tree. A tag may have been made by anybody."""
    return len(tree) == 16 and tree.isascii() and tree.isalnum()


def of_launch(tree: str, name: str, number: int) -> str:
    """The tag for the processes of one launch of a node."""
    return f"{tree}:l:{number}:{name}"


def read(text: str) -> Tag | None:
    """Read a tag, the inverse of :func:`of_launch`; None if the text is not a tag."""
    tree, _, rest = text.partition(":")
    kind, _, rest = rest.partition(":")
    match kind:
        case "l":
            number, _, name = rest.partition(":")
            return Tag(tree, name, int(number)) if number.isdecimal() and name else None
        case "n":
            return Tag(tree, rest) if rest else None
        case "f":
            return Tag(tree)
        case _:
            return None
