"""What the verbs have in common that take nodes: how nodes are named, and what is told of those without an answer."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from zeekfleet.cli.session import Session

_HELP = "names of nodes; workers, proxies, loggers, manager, all; @INSTANCE; patterns such as 'worker-*'"


def add_nodes(parser: argparse.ArgumentParser, what: str, *, others: str = "All when omitted.") -> None:
    """The argument NODES.

    Args:
        parser: the verb's.
        what: what is done to them, such as ``Nodes to restart``.
        others: what happens without, or "" if it is mandatory.
    """
    count = "*" if others else "+"
    parser.add_argument("nodes", metavar="NODES", nargs=count, default=[], help=f"{what}: {_HELP}. {others}".rstrip())


def tell_silent(session: Session, names: Iterable[str]) -> None:
    """Tell that these nodes have not answered; on stderr, since zeek-client's document has no place for it."""
    for name in names:
        session.messages.error(f"{name}: no answer")
