"""What the verbs have in common that take nodes: how they are named, and that each of them is answered for."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable

from zeekfleet.broker.events.controller import GetConfigurationRequest, GetConfigurationResponse
from zeekfleet.cli.session import Connection, Session
from zeekfleet.client import results
from zeekfleet.client.node_groups import Member, may_be_group, members_of, resolve
from zeekfleet.errors import RequestFailedError
from zeekfleet.model.management import fresh_id

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


def chosen(connection: Connection, words: Collection[str]) -> frozenset[str]:
    """The names of the nodes that are meant; what is deployed is only looked at where that is needed to tell.

    Raises:
        RequestTimeoutError: the controller does not tell what is deployed.
    """
    if not any(map(may_be_group, words)):
        return frozenset(words)
    return resolve(words, deployed_members(connection))


def deployed_members(connection: Connection) -> tuple[Member, ...]:
    """The nodes that are deployed; none if nothing is."""
    request = GetConfigurationRequest(fresh_id(), deployed=True)
    try:
        return members_of(results.read_configuration(connection.ask(request, GetConfigurationResponse).result))
    except RequestFailedError:
        return ()


def tell_unanswered(session: Session, asked: Collection[str], told: Iterable[str | None]) -> bool:
    """Tell of each node asked for that no result speaks of; whether there is none.

    That stands on stderr alone, since zeek-client's document has no place for it.
    """
    silent = sorted(set(asked) - set(told))
    for name in silent:
        session.messages.error(f"{name}: no answer")
    return not silent
