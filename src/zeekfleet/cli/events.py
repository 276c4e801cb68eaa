"""``zeekfleet events [-f] [--since TIME|DURATION]``: what happened, from what the controller keeps, and as it comes."""

from __future__ import annotations

import argparse
import re
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from zeekfleet.broker import topics
from zeekfleet.cli.absent import TONES
from zeekfleet.cli.layout import widths_of
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.output import BAD, FAINT, GOOD, Cell, Note, Table
from zeekfleet.cli.session import PATIENCE, REVIVAL, Session
from zeekfleet.cli.showing import json_text
from zeekfleet.cli.streams import write_out
from zeekfleet.cli.tables import ABSENT
from zeekfleet.client.blocking import result_of
from zeekfleet.client.requests import DAY
from zeekfleet.client.results import Document
from zeekfleet.errors import ConnectionLostError
from zeekfleet.model.notifications import Notification, NotificationKind
from zeekfleet.model.texts import shown

COLUMNS = ("TIME", "INSTANCE", "NODE", "EVENT")

WIDTHS = (19, 12, 12)
"""The least widths of the columns before the last while events are followed: the names to come are not known yet."""

OVERLAP = 5.0
"""Seconds that are asked for once more after a lost connection, so that nothing is missed."""

RECENT = 1000
"""Events that are remembered, so that none of these is shown again."""

YEAR = 365 * DAY
YEARS = 100
"""How far away a moment may be."""

UNITS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": DAY}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|min|m|h|d)")


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "events", "Show what happened, from what the controller keeps.")
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
    """Run the verb; with ``--json`` a line is a document."""
    session = Session(args)
    if args.follow:
        return _follow(session, args)
    with session.connected() as controller:
        found = [event for event in result_of(controller.events(args.since)) if _is_wanted(event, args)]
    if session.output.as_json:
        write_out("".join(json_text(document(event), pretty=False) for event in found))
    else:
        session.output.show({}, lambda: [table(*found) if found else Note("nothing has happened")])
    return 0


def _follow(session: Session, args: argparse.Namespace) -> int:
    """Show what happens, without end; a controller that is started again is waited for."""
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
    """Shows one event after the other, none twice.

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
        row = self._above = Table(COLUMNS, (_row(event),), widths=widths, heading=self._above is None)
        self._output.show({}, lambda: [row])


def table(*events: Notification) -> Table:
    """A row an event."""
    return Table(COLUMNS, tuple(map(_row, events)))


def document(event: Notification) -> Document:
    """The keys are always the same; those that do not apply to the kind of event are null."""
    return {
        "time": event.time,
        "kind": str(event.kind),
        "instance": event.instance or None,
        "node": event.node or None,
        "message": event.message or None,
        "old": event.old.name if event.old else None,
        "new": event.new.name if event.new else None,
        "config": event.config or None,
        "success": event.success,
        "by": event.by or None,
    }


def _is_wanted(event: Notification, args: argparse.Namespace) -> bool:
    return args.all or event.kind != NotificationKind.LOG


def _row(event: Notification) -> tuple[Cell, ...]:
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.time))
    return (
        Cell(moment),
        Cell(event.instance) if event.instance else ABSENT,
        Cell(event.node) if event.node else ABSENT,
        _event(event),
    )


def _event(event: Notification) -> Cell:
    if event.old is not None and event.new is not None:
        return Cell(f"{event.old.name.lower()} -> {event.new.name.lower()}", TONES[event.new])
    match event.kind:
        case NotificationKind.GONE:
            return Cell(f"is gone: {event.message}", BAD)
        case NotificationKind.CONNECTED:
            return Cell(event.message, GOOD)
        case NotificationKind.ERROR:
            return Cell(event.message, BAD)
        case NotificationKind.DEPLOYMENT:
            by = f" (by {event.by})" if event.by else ""
            return Cell(event.message + by, GOOD if event.success else BAD)
        case _:
            return Cell(event.message, FAINT)


def seconds_of(text: str) -> float:
    """How many seconds ago that was."""
    seconds = seconds_ago(text, datetime.now(UTC))
    if seconds is None:
        expected = "expected a duration such as 15min or 2d, or a past time such as 14:03 or '2026-03-01 14:03'"
        raise argparse.ArgumentTypeError(f"{expected}, of the last {YEARS} years, not '{shown(text, 40)}'")
    return seconds


def seconds_ago(text: str, now: datetime) -> float | None:
    """How many seconds lie between the moment that a text names and ``now``.

    A time of day without a date is the latest that has passed, and a time without a zone is this host's, by the zone's
    rules at that time: clocks may have changed since.

    Returns:
        None if the text names no moment, one that is yet to come, or one that is further away than :data:`YEARS`.
    """
    if (parts := _DURATION.findall(text)) and "".join(map("".join, parts)) == text:
        found = [sum(float(number) * UNITS[unit] for number, unit in parts)]
    else:
        found = [(now - then).total_seconds() for then in _moments(text, now)]
    return min((seconds for seconds in found if 0 <= seconds <= YEARS * YEAR), default=None)


def _moments(text: str, now: datetime) -> Iterator[datetime]:
    """The moments that a text may name."""
    for form in ("%H:%M", "%H:%M:%S"):
        with suppress(ValueError):
            clock = datetime.strptime(text, form).time()
            today = now.astimezone().date()
            for day in (today, today - timedelta(days=1)):
                # An hour that clocks were set back by has each time of day twice.
                for fold in (0, 1):
                    yield datetime.combine(day, clock.replace(fold=fold)).astimezone(UTC)
            return
    # A moment at either end of the calendar has no place in some zones.
    with suppress(ValueError, OverflowError):
        yield datetime.fromisoformat(text).astimezone(UTC)
