"""``zeekfleet get-instances``: the instances connected to the controller."""

from __future__ import annotations

import argparse
import time

from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.client.blocking import result_of
from zeekfleet.client.verbs.get_instances import document, read_instances, view
from zeekfleet.errors import ValueMismatchError
from zeekfleet.model.management import Instance


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    add_verb(subparsers, "get-instances", "Show instances connected to the controller, and those that should be.")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    session = Session(args)
    found: tuple[Instance, ...] = ()
    wanted, code = None, 0
    with session.connected() as controller:
        try:
            if session.output.as_json:
                found = result_of(controller.get_instances())
            else:
                wanted = result_of(controller.wanted())
                found = read_instances(wanted.instances)
        except ValueMismatchError as error:
            # Like zeek-client, print a document even if the data is invalid. The exit code says that it is incomplete.
            session.messages.error(f"instance data invalid: {error}")
            code = 1
    session.output.show(document(found), lambda: view(found, wanted, time.time()))
    return code
