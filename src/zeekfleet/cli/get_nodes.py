"""``zeekfleet get-nodes``: the processes at each instance."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from zeekfleet.cli.nodes import add_nodes
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.client.blocking import result_of
from zeekfleet.client.node_cells import summary
from zeekfleet.client.node_groups import Member, members_of, narrow
from zeekfleet.client.verbs.get_nodes import NodesSeen, view
from zeekfleet.client.wanted import Absent, merged, split
from zeekfleet.model.enums import State
from zeekfleet.model.management import NodeStatus


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "get-nodes", "Show the Zeek nodes at each instance, and those that should be there.")
    add_nodes(parser, "Nodes to show")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    session = Session(args)
    if session.output.as_json:
        return _document(session, args.nodes)
    with session.connected() as controller:
        wanted = result_of(controller.wanted())
        outcome = result_of(controller.get_nodes())
    now = time.time()
    told = {instance: [status.node for status in statuses] for instance, statuses in outcome.instances.items()}
    absent = wanted.absent(told, now)
    names = wanted.nodes
    if args.nodes:
        rows, errors = narrow(
            merged(outcome.instances, absent), outcome.errors, args.nodes, members_of(wanted.configuration), _member
        )
        statuses, absent = split(rows, NodeStatus)
        outcome = NodesSeen(statuses, errors, outcome.malformed)
        names &= {one.name for instance, found in rows.items() for one in (_member(instance, row) for row in found)}
    for problem in outcome.malformed:
        session.messages.error(problem)
    running = {one.node for found in outcome.instances.values() for one in found if one.state is State.RUNNING}
    session.output.show({}, lambda: [*view(outcome, absent, wanted.reports, now), *summary(names, running & names)])
    return 0 if outcome.ok else 1


def _document(session: Session, nodes: Sequence[str]) -> int:
    """Print zeek-client's document, which does not have the nodes that should run but do not."""
    with session.connected() as controller:
        outcome = result_of(controller.get_nodes(nodes))
    for problem in outcome.malformed:
        session.messages.error(problem)
    session.output.show_document(outcome.document())
    return 0 if outcome.ok else 1


def _member(instance: str, row: NodeStatus | Absent) -> Member:
    return Member(row.node, instance, row.role if isinstance(row, Absent) else row.cluster_role)
