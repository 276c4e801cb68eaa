"""What ``events`` shows: rows that fit on a terminal, documents with the same keys; which moments it understands."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from zeekfleet.broker import topics
from zeekfleet.broker.events.notifications import NotificationKept
from zeekfleet.broker.generations import SECOND
from zeekfleet.broker.messages import decode_data, decode_event, encode_event
from zeekfleet.cli.layout import plain_text, terminal_text
from zeekfleet.cli.since import seconds_ago, seconds_of
from zeekfleet.client.verbs import events
from zeekfleet.client.views import BAD, GOOD
from zeekfleet.model.enums import State
from zeekfleet.model.notifications import Notification, NotificationKind

MOMENT = time.mktime((2026, 3, 1, 14, 3, 5, 0, 0, -1))
CHANGE = Notification(
    NotificationKind.CHANGE, MOMENT, "sensor-1", "worker-1", old=State.RUNNING, new=State.CRASHED
)  # fmt: skip
ERROR = Notification(
    NotificationKind.ERROR,
    MOMENT,
    "sensor-1",
    "worker-1",
    "node worker-1 was killed by SIGSEGV; started again in 2 s, 3rd time in 60 s; its report is in /var/lib/x",
)
DEPLOYMENT = Notification(
    NotificationKind.DEPLOYMENT, MOMENT, message="deployment of configuration c-1: success", config="c-1", success=True
)
GONE = Notification(NotificationKind.GONE, MOMENT, "sensor-2", message="closed by peer")
CONNECTED = Notification(NotificationKind.CONNECTED, MOMENT, "sensor-2", message="checked in from 10.0.0.2")
ALL = (CHANGE, ERROR, DEPLOYMENT, GONE, CONNECTED)


def test_each_kind_of_event_has_a_row() -> None:
    assert plain_text([events.table([CHANGE, DEPLOYMENT, GONE, CONNECTED])]).splitlines() == [
        "TIME                 INSTANCE  NODE      EVENT",
        "2026-03-01 14:03:05  sensor-1  worker-1  running -> crashed",
        "2026-03-01 14:03:05  -         -         deployment of configuration c-1: success",
        "2026-03-01 14:03:05  sensor-2  -         is gone: closed by peer",
        "2026-03-01 14:03:05  sensor-2  -         checked in from 10.0.0.2",
    ]


def test_good_and_bad_events_have_different_tones() -> None:
    rows = events.table(ALL).rows
    assert [row[-1].tone for row in rows] == [BAD, BAD, GOOD, BAD, GOOD]


def test_long_messages_are_folded_at_eighty_columns_and_nothing_is_lost() -> None:
    lines = terminal_text([events.table(ALL)], 80, in_colour=False).splitlines()
    assert max(map(len, lines)) <= 80
    told = " ".join(line[41:].strip() for line in lines)
    assert ERROR.message in told


def test_documents_have_the_same_keys() -> None:
    documents = [events.document(event) for event in ALL]
    assert len({tuple(found) for found in documents}) == 1
    change, *_, deployment, _, _ = documents
    assert change == {
        "time": MOMENT,
        "kind": "change",
        "instance": "sensor-1",
        "node": "worker-1",
        "message": None,
        "old": "RUNNING",
        "new": "CRASHED",
        "config": None,
        "success": None,
        "by": None,
    }
    assert (deployment["config"], deployment["success"], deployment["instance"]) == ("c-1", True, None)


@pytest.mark.parametrize("event", ALL, ids=lambda event: str(event.kind))
def test_events_arrive_as_they_were_sent(event: Notification) -> None:
    frame = encode_event(topics.NOTIFICATIONS, NotificationKept(event))
    assert decode_event(decode_data(frame)) == (NotificationKept(event), SECOND)


def test_kinds_of_newer_releases_are_shown() -> None:
    (row,) = events.table([Notification("drained", MOMENT, "sensor-1", message="is drained")]).rows
    assert [cell.text for cell in row[1:]] == ["sensor-1", "-", "is drained"]


NOW = datetime(2026, 3, 2, 12, 0, 0, tzinfo=timezone(timedelta(hours=1)))


CENTRAL_EUROPE = "CET-1CEST,M3.5.0,M10.5.0/3"
"""In 2026, its clocks go from 2:00 to 3:00 on March 29, and from 3:00 back to 2:00 on October 25."""


@pytest.fixture
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This host is in the time zone that is the fixture's parameter, else in central Europe."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", getattr(request, "param", CENTRAL_EUROPE))
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("15min", 900),
        ("15m", 900),
        ("1h30min", 5400),
        ("2d", 172800),
        ("0.5h", 1800),
        ("11:30", 1800),
        ("11:59:30", 30),
        ("12:30", 84600),  # of yesterday
        ("2026-03-02T10:00:00Z", 3600),
        ("2026-03-02 12:00+01:00", 0),
        ("2026-03-02 10:00", 7200),
    ],
)
def test_moments_in_the_past(text: str, seconds: float) -> None:
    assert seconds_ago(text, NOW) == seconds


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("now", "text", "hours"),
    [
        ("2026-03-29T10:00:00+02:00", "01:00", 8),  # 9 by the clock, of which one was skipped
        ("2026-03-29T10:00:00+02:00", "10:30", 22.5),
        ("2026-03-29T10:00:00+02:00", "2026-03-29 01:00", 8),
        ("2026-10-25T10:00:00+01:00", "01:00", 10),  # 9 by the clock, of which one came twice
        ("2026-10-25T10:00:00+01:00", "10:30", 24.5),
        ("2026-10-25T10:00:00+01:00", "02:30", 7.5),  # for the second time
        ("2026-10-25T02:45:00+02:00", "02:30", 0.25),  # for the first time
        ("2026-10-25T02:15:00+01:00", "02:30", 0.75),
    ],
)
def test_days_when_clocks_change(now: str, text: str, hours: float) -> None:
    assert seconds_ago(text, datetime.fromisoformat(now)) == hours * 3600


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize("zone", ["UTC0", "EAST-14", "WEST+12"], indirect=True)
@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "15", "5 parsecs", "-1h", "1h soon", "25:00", "2999-03-02T13:00:00Z"),
        *("9" * 400 + "d", "0." + "9" * 400 + "dd", "101000d", "1900-01-01", "0001-01-01", "9999-12-31T23:59"),
        *("0001-01-01T00:00+14:00", "9999-12-31T23:59-12:00"),
    ],
)
def test_a_moment_that_is_not_in_the_past_is_refused(text: str) -> None:
    assert seconds_ago(text, NOW) is None
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        seconds_of(text)
    said = str(caught.value)
    assert said.startswith("expected a duration such as 15min or 2d, or a past time such as 14:03")
    assert len(said) < 200
