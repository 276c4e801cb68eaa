"""``zeekfleet events [-f] [--since TIME|DURATION]``: shows the events that the controller has stored, and new ones."""

from __future__ import annotations

import argparse
import time
from collections import deque

from zeekfleet.broker import topics
from zeekfleet.cli.layout import widths_of
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import PATIENCE, REVIVAL, Session
from zeekfleet.cli.showing import json_text
from zeekfleet.cli.since import seconds_of
from zeekfleet.cli.streams import write_out
from zeekfleet.client.blocking import result_of
from zeekfleet.client.verbs.events import DAY, document, table, view
from zeekfleet.client.views import Table
from zeekfleet.errors import ConnectionLostError
from zeekfleet.model.notifications import Notification, NotificationKind

WIDTHS = (19, 12, 12)
"""The least widths of all columns but the last while events are followed, since later names are not known yet."""

OVERLAP = 5.0
"""After a lost connection, events of so many seconds before it are requested again, so that none is missed."""

RECENT = 1000
"""The most events that are remembered, so that none of them is shown twice."""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "events")
    parser.add_argument("-f", "--follow", action="store_true", help="Go on with what happens, until interrupted.")
    parser.add_argument(
        "--since",
        metavar="WHEN",
        type=seconds_of,
        default=DAY,
        help="A duration (30s, 15min, 1h30min, 2d) or a time (14:03, '2026-03-01 14:03'). Default: 1d.",
    )
    parser.add_argument("--all", action="store_true", help="Also the steps that agents take.")


def run(args: argparse.Namespace) -> int:
    """Run the verb. With ``--json``, each line is a document."""
    session = Session(args)
    if args.follow:
        return _follow(session, args)
    with session.connected() as controller:
        found = [event for event in result_of(controller.events(args.since)) if _is_wanted(event, args)]
    if session.output.as_json:
        write_out("".join(json_text(document(event), pretty=False) for event in found))
    else:
        session.output.show({}, lambda: view(found))
    return 0


def _follow(session: Session, args: argparse.Namespace) -> int:
    """Show events as they happen, without end. If the controller is restarted, wait for it."""
    patience, since = PATIENCE, time.monotonic() - args.since
    screen = _Screen(session)
    while True:
        try:
            with session.connected(topics.NOTIFICATIONS, patience=patience) as controller:
                events = controller.follow_events(time.monotonic() - since)
                while True:
                    event = result_of(anext(events))
                    if _is_wanted(event, args):
                        screen.show(event)
        except ConnectionLostError as error:
            session.messages.warning(f"{error}; waiting for the controller")
            patience = REVIVAL
            if screen.shown_at is not None:
                since = screen.shown_at - OVERLAP


class _Screen:
    """Shows events, none of them twice.

    Attributes:
        shown_at: when the last was shown, by the monotonic clock.
    """

    def __init__(self, session: Session) -> None:
        self._output = session.output
        self._above: Table | None = None
        self._recent: deque[Notification] = deque(maxlen=RECENT)
        self.shown_at: float | None = None

    def show(self, event: Notification) -> None:
        """Show an event, unless it was shown before the connection was lost."""
        if event in self._recent:
            return
        self._recent.append(event)
        self.shown_at = time.monotonic()
        if self._output.as_json:
            write_out(json_text(document(event), pretty=False))
            return
        widths = widths_of(self._above)[:-1] if self._above else WIDTHS
        row = self._above = table((event,), widths=widths, heading=self._above is None)
        self._output.show({}, lambda: [row])


def _is_wanted(event: Notification, args: argparse.Namespace) -> bool:
    return args.all or event.kind != NotificationKind.LOG
