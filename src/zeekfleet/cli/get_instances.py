"""``zeekfleet get-instances``: the instances connected to the controller."""

from __future__ import annotations

import argparse
import time

from zeekfleet.broker.events.controller import GetInstancesRequest, GetInstancesResponse
from zeekfleet.cli import tables
from zeekfleet.cli.absent import look
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.client import report, results
from zeekfleet.errors import ValueMismatchError
from zeekfleet.model.management import fresh_id


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    add_verb(subparsers, "get-instances", "Show instances connected to the controller, and those that should be.")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    session = Session(args)
    wanted = None
    with session.connected() as connection:
        if session.output.json:
            result = connection.ask(GetInstancesRequest(fresh_id()), GetInstancesResponse).result
        else:
            wanted = look(connection)
            result = wanted.instances
    code = 0
    try:
        found = results.read_instances(result)
    except ValueMismatchError as error:
        # As zeek-client has it, a document is printed whatever came; that it is empty is our failure, though.
        session.messages.error(f"instance data invalid: {error}")
        found, code = (), 1
    session.output.show(report.instances(found), lambda: tables.instances(found, wanted, time.time()))
    return code
