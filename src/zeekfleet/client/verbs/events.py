"""What happened in the cluster, and what happens now."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence

from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.notifications import NotificationKept, NotificationsRequest
from zeekfleet.broker.generations import SECOND
from zeekfleet.client.carrier import Carrier
from zeekfleet.client.node_cells import TONES
from zeekfleet.client.results import NO_REASON, Document
from zeekfleet.client.views import ABSENT, BAD, FAINT, GOOD, Cell, Note, Table, View
from zeekfleet.errors import RequestFailedError, TransportError
from zeekfleet.model.management import fresh_id
from zeekfleet.model.notifications import Notification, NotificationKind

DAY = 86400.0

BACKLOG = 100_000
"""The most events that may wait for a program that follows them."""

COLUMNS = ("TIME", "INSTANCE", "NODE", "EVENT")


class EventsVerb(Carrier):
    """Asks what happened."""

    async def events(self, seconds: float = DAY) -> tuple[Notification, ...]:
        """The events of the last ``seconds`` seconds, the oldest first.

        These are the changes of state, errors and steps that agents report, the outcomes of deployments, and when
        agents connected and disconnected. The controller, which must be zeekfleet's, stores the latest events, and
        answers with a few MiB at most.

        Raises:
            RequestFailedError: the controller cannot read its database.
        """
        result = (await self.ask(NotificationsRequest(fresh_id(), seconds))).result
        if not result.success or result.data is None:
            raise RequestFailedError(result.reqid, result.error or NO_REASON)
        return SECOND.codec.sequence_from_value(result.data, Notification)

    async def follow_events(self, seconds: float = 0.0) -> AsyncIterator[Notification]:
        """The events of the last ``seconds`` seconds, then each event as it happens, without end.

        No event is missed in between, and none comes twice.

        Raises:
            TransportError: the connection was lost, even if there is a new one by now; or :data:`BACKLOG` events are
                waiting to be taken. All events before that were delivered.
        """
        live: deque[Notification] = deque()

        def hear(_: str, event: Event) -> bool:
            if isinstance(event, NotificationKept):
                live.append(event.notification)
                if len(live) == BACKLOG:
                    watching.end(TransportError(f"{BACKLOG} events were not taken in time; later ones are missed"))
            return False

        with self.watching(hear) as watching:
            kept = await self.events(seconds)
            for event in kept:
                yield event
            told = set(kept)
            while True:
                while live:
                    if (event := live.popleft()) not in told:
                        yield event
                await watching.next(DAY)


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


def view(events: Sequence[Notification]) -> View:
    """A row for each event."""
    return [table(events) if events else Note("nothing has happened")]


def table(events: Iterable[Notification], *, widths: tuple[int, ...] = (), heading: bool = True) -> Table:
    """A row for each event; ``widths`` and ``heading`` as in :class:`Table`."""
    return Table(COLUMNS, tuple(map(_row, events)), widths=widths, heading=heading)


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
