"""``--since``: reads a time or a duration, and computes how many seconds ago that was."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from zeekfleet.cli.durations import parse_duration
from zeekfleet.model.texts import shown

DAY = 86400.0
YEAR = 365 * DAY
YEARS = 100
"""The most years that a moment may be away."""


def seconds_of(text: str) -> float:
    """Read an argument: how many seconds ago that was."""
    seconds = seconds_ago(text, datetime.now(UTC))
    if seconds is None:
        expected = "expected a duration such as 15min or 2d, or a past time such as 14:03 or '2026-03-01 14:03'"
        raise argparse.ArgumentTypeError(f"{expected}, of the last {YEARS} years, not '{shown(text, 40)}'")
    return seconds


def seconds_ago(text: str, now: datetime) -> float | None:
    """How many seconds before ``now`` the moment was that a text names.

    A time of day without a date means the last time that it was so late. A time without a zone is in this host's zone,
    by the rules of that date, since clocks may have been changed in between.

    Returns:
        None if the text is not a moment, or a moment in the future, or longer ago than :data:`YEARS`.
    """
    duration = parse_duration(text)
    found = [(now - then).total_seconds() for then in _moments(text, now)] if duration is None else [duration]
    return min((seconds for seconds in found if 0 <= seconds <= YEARS * YEAR), default=None)


def _moments(text: str, now: datetime) -> Iterator[datetime]:
    """The moments that a text may name."""
    for form in ("%H:%M", "%H:%M:%S"):
        with suppress(ValueError):
            clock = datetime.strptime(text, form).time()
            today = now.astimezone().date()
            for day in (today, today - timedelta(days=1)):
                # When clocks are set back by an hour, that hour has each time of day twice.
                for fold in (0, 1):
                    yield datetime.combine(day, clock.replace(fold=fold)).astimezone(UTC)
            return
    # At both ends of the calendar, a moment may not exist in some zones.
    with suppress(ValueError, OverflowError):
        yield datetime.fromisoformat(text).astimezone(UTC)
