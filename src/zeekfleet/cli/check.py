"""``zeekfleet check FILE``: would this configuration work? Nothing is staged, nothing that runs is touched."""

from __future__ import annotations

import argparse

import msgspec

from zeekfleet.cli.config_file import add_allow_empty, add_file, read_given
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.client.blocking import result_of
from zeekfleet.client.verbs.check import Checked, Finding, view
from zeekfleet.errors import UnreachableError
from zeekfleet.planning.review import missing_logs, review
from zeekfleet.planning.validate import validate


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "check")
    add_file(parser)
    add_allow_empty(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb. A file with errors is refused without asking the controller.

    Without a controller only the nodes of this host are checked, and the verb fails if there are others.
    """
    session = Session(args)
    configuration = read_given(args, session.messages)
    for text in missing_logs(configuration):
        session.messages.warning(text)
    errors = validate(configuration, controller_port=None, auto_assign_ports=True)
    found = tuple(Finding(text) for text in (*errors, *review(configuration)))
    if errors:
        return _show(session, Checked(found))
    try:
        with session.connected() as controller:
            checked = result_of(controller.check(configuration))
        is_complete = True
    except UnreachableError as error:
        from zeekfleet.cli.check_here import check  # noqa: PLC0415 - it imports what daemons consist of

        session.messages.warning(f"checked without a controller, as far as that goes: {error}")
        checked = check(configuration)
        is_complete = not checked.unchecked
    code = _show(session, msgspec.structs.replace(checked, findings=(*found, *checked.findings)))
    return code if is_complete else 1


def _show(session: Session, outcome: Checked) -> int:
    session.output.show(outcome.document(), lambda: view(outcome))
    return 0 if outcome.ok else 1
