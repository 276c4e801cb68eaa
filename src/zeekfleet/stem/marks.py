"""The value of ``ZEEKFLEET_LAUNCH``: by it a process is known as a stem's own, whatever else is lost."""

from __future__ import annotations


def of_node(tree: str, name: str) -> str:
    """What a node's processes carry, in all its lives and under all stems of its state directory."""
    return f"{tree}:n:{name}"


def of_fork_server(tree: str, number: str) -> str:
    """What a fork server and the nodes that it forks carry."""
    return f"{tree}:f:{number}"


def node_of(mark: str) -> str | None:
    """The name in a node's mark; None for a fork server's."""
    _, kind, name = mark.split(":", 2)
    return name if kind == "n" else None
