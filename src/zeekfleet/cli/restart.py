"""``zeekfleet restart [NODES]``: restart cluster nodes, all at once or a few at a time."""

from __future__ import annotations

import argparse
import math
import time

from zeekfleet.broker.events.agent import NotifyChange
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.controller import GetNodesRequest, GetNodesResponse, RestartRequest, RestartResponse
from zeekfleet.cli import deployment, tables
from zeekfleet.cli.hurry import add_now
from zeekfleet.cli.nodes import add_nodes, chosen, deployed_members, tell_unanswered
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Connection, Session
from zeekfleet.client import report, results, rolling
from zeekfleet.client.results import Restarted
from zeekfleet.errors import CommandLineError
from zeekfleet.model.enums import State
from zeekfleet.model.management import fresh_id

WAIT = 120.0
"""Seconds for a batch of nodes to run again."""

UNAVAILABLE = 1
LONGEST_WAIT = 86400.0


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "restart", "Restart cluster nodes.")
    add_nodes(parser, "Nodes to restart")
    parser.add_argument(
        "--rolling", action="store_true", help="A few at a time, each batch only when all nodes are running."
    )
    parser.add_argument(
        "--max-unavailable",
        metavar="N",
        type=_positive,
        help=f"With --rolling: nodes that may be down at a time (default: {UNAVAILABLE}).",
    )
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=_seconds,
        help=f"With --rolling: time for a batch to be running again (default: {WAIT:g}).",
    )
    add_now(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    if not args.rolling:
        for option, value in (("--max-unavailable", args.max_unavailable), ("--wait", args.wait)):
            if value is not None:
                raise CommandLineError(f"{option} applies with --rolling only", "zeekfleet restart")
    session = Session(args)
    with session.connected(*deployment.HEARD) as connection:
        connection.is_hurried = args.now
        nodes = chosen(connection, args.nodes)
        outcome = _roll(connection, args, nodes) if args.rolling else _restart(connection, nodes)
    session.output.show(report.restarted(outcome), lambda: tables.restarted(outcome))
    told = (*outcome.nodes, *(failure.source for failure in outcome.errors))
    all_told = args.rolling or tell_unanswered(session, nodes, told)
    return 0 if outcome.ok and all_told else 1


def _restart(connection: Connection, nodes: frozenset[str]) -> Restarted:
    request = RestartRequest(fresh_id(), nodes)
    return results.read_restarted(connection.ask(request, RestartResponse, deployment.is_progress).results)


def _roll(connection: Connection, args: argparse.Namespace, nodes: frozenset[str]) -> Restarted:
    seen = results.read_nodes(connection.ask(GetNodesRequest(fresh_id()), GetNodesResponse).results)
    watcher = _Watcher(connection, WAIT if args.wait is None else args.wait)
    unavailable = UNAVAILABLE if args.max_unavailable is None else args.max_unavailable
    deployed = {member.name: member.instance for member in deployed_members(connection)}
    return rolling.restart(seen, sorted(nodes), unavailable, watcher.restart, watcher.all_running, deployed)


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
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1, not '{text}'")
    return number


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= LONGEST_WAIT:  # also refuses NaN
        raise argparse.ArgumentTypeError(f"expected a number of seconds up to {LONGEST_WAIT:g}, not '{text}'")
    return number
