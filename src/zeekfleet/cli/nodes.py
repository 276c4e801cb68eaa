"""Shared by verbs that take nodes: the argument NODES, and messages about nodes that have not answered."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from zeekfleet.cli.session import Session

_HELP = "names of nodes; workers, proxies, loggers, manager, all; @INSTANCE; patterns such as 'worker-*'"


def add_nodes(parser: argparse.ArgumentParser, what: str, *, others: str = "All when omitted.") -> None:
    """Add the argument NODES.

    Args:
        parser: the verb's parser.
        what: what is done with the nodes, such as ``Nodes to restart``.
        others: what happens if the argument is omitted; ``""`` if it is mandatory.
    """
    count = "*" if others else "+"
    parser.add_argument("nodes", metavar="NODES", nargs=count, default=[], help=f"{what}: {_HELP}. {others}".rstrip())


def tell_silent(session: Session, names: Iterable[str]) -> None:
    """Say that these nodes have not answered, on stderr, since zeek-client's document has no place for it."""
    for name in names:
        session.messages.error(f"{name}: no answer")
