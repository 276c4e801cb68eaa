"""``zeekfleet restart [NODES]``: restart cluster nodes, all at once or a few at a time."""

from __future__ import annotations

import argparse
import time

from zeekfleet.broker.events.agent import NotifyChange
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.controller import GetNodesRequest, GetNodesResponse, RestartRequest, RestartResponse
from zeekfleet.cli import deployment, tables
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Connection, Session
from zeekfleet.client import report, results, rolling
from zeekfleet.client.results import Restarted
from zeekfleet.model.enums import State
from zeekfleet.model.management import fresh_id

WAIT = 120.0
"""Seconds for a batch of nodes to run again."""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "restart", "Restart cluster nodes.")
    parser.add_argument("nodes", metavar="NODES", nargs="*", default=[], help="Nodes to restart; all when omitted.")
    parser.add_argument(
        "--rolling", action="store_true", help="A few at a time, each batch only when all nodes are running."
    )
    parser.add_argument(
        "--max-unavailable",
        metavar="N",
        type=_positive,
        default=1,
        help="Nodes that may be down at a time (default 1).",
    )
    parser.add_argument(
        "--wait", metavar="SECONDS", type=float, default=WAIT, help="Time for a batch to be running (default 120)."
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    session = Session(args)
    with session.connected(deployment.HEARD) as connection:
        if args.rolling:
            seen = results.read_nodes(connection.ask(GetNodesRequest(fresh_id()), GetNodesResponse).results)
            watcher = _Watcher(connection, args.wait)
            outcome = rolling.restart(
                rolling.states_of(seen), args.nodes, args.max_unavailable, watcher.restart, watcher.all_running
            )
        else:
            outcome = _restart(connection, frozenset(args.nodes))
    session.output.show(report.restarted(outcome), lambda: tables.restarted(outcome))
    return 0 if outcome.ok else 1


def _restart(connection: Connection, nodes: frozenset[str]) -> Restarted:
    request = RestartRequest(fresh_id(), nodes)
    return results.read_restarted(connection.ask(request, RestartResponse, deployment.is_progress).results)


class _Watcher:
    """Follows the nodes' states by what the agents tell, and asks once more where they have told nothing."""

    def __init__(self, connection: Connection, wait: float) -> None:
        self._connection = connection
        self._wait = wait
        self._states: dict[str, State] = {}

    def restart(self, nodes: frozenset[str]) -> Restarted:
        """Restart these nodes; their states are noted from here on."""
        self._states = dict.fromkeys(nodes, State.PENDING)
        request = RestartRequest(fresh_id(), nodes)
        return results.read_restarted(self._connection.ask(request, RestartResponse, self._watch).results)

    def all_running(self, nodes: frozenset[str]) -> frozenset[str]:
        """Wait until these nodes run; those that do not in time."""
        deadline = time.monotonic() + self._wait
        while missing := {name for name in nodes if self._states.get(name) is not State.RUNNING}:
            received = self._connection.link.receive(deadline - time.monotonic())
            if received is None:
                return frozenset(missing)
            self._watch(*received)
        return frozenset()

    def _watch(self, topic: str, event: Event) -> bool:
        if isinstance(event, NotifyChange):
            self._states[event.n.name] = event.new
        return deployment.is_progress(topic, event)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("expected a number from 1")
    return number
