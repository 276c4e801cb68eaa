"""``zeekfleet get-nodes``: the processes at each instance."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from zeekfleet.broker.events.controller import GetNodesRequest, GetNodesResponse
from zeekfleet.cli import tables
from zeekfleet.cli.nodes import add_nodes, deployed_members
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.client import report, results
from zeekfleet.client.node_groups import Member, narrow
from zeekfleet.client.results import NodesSeen
from zeekfleet.model.management import NodeStatus, fresh_id


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "get-nodes", "Show active Zeek nodes at each instance.")
    add_nodes(parser, "Nodes to show")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    session = Session(args)
    with session.connected() as connection:
        outcome = results.read_nodes(connection.ask(GetNodesRequest(fresh_id()), GetNodesResponse).results)
        if args.nodes:
            outcome = _narrowed(outcome, args.nodes, deployed_members(connection))
    for problem in outcome.malformed:
        session.messages.error(problem)
    session.output.show(report.nodes(outcome), lambda: tables.nodes(outcome))
    return 0 if outcome.ok else 1


def _narrowed(outcome: NodesSeen, words: Sequence[str], deployed: Sequence[Member]) -> NodesSeen:
    def member(instance: str, status: NodeStatus) -> Member:
        return Member(status.node, instance, status.cluster_role)

    instances, errors = narrow(outcome.instances, outcome.errors, words, deployed, member)
    return NodesSeen(instances, errors, outcome.malformed)
