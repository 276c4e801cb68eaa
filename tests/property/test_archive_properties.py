"""Names of logs survive archiving; expiry removes the oldest logs, and no more than needed."""

from __future__ import annotations

import string
from datetime import date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from zeekfleet.archive.expiry import ArchivedLog, Room, too_much, too_old
from zeekfleet.archive.names import (
    TEMPORARY_PREFIX,
    RotatedLog,
    opening_time,
    parse_day,
    parse_rotated,
    temporary_name,
)

MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(lambda moment: moment.replace(microsecond=0))
WORDS = st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=20)
FILE_NAMES = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=80)
EXTENSIONS = st.sampled_from(["", ".log", ".json", ".log.gz", ".log.zst"])
LOGS = st.builds(RotatedLog, WORDS, MOMENTS, MOMENTS, st.one_of(st.just(""), WORDS), EXTENSIONS)


def stamp(moment: datetime) -> str:
    return f"{moment.year:04}-{moment:%m-%d-%H-%M-%S}"


def rotated_name(log: RotatedLog) -> str:
    metadata = f"log_suffix={log.suffix}__" if log.suffix else ""
    return f"{log.path}__{stamp(log.opened)}__{stamp(log.closed)}__{metadata}{log.extension}"


@given(LOGS)
def test_names_that_loggers_write_are_read(log: RotatedLog) -> None:
    assert parse_rotated(rotated_name(log)) == log


@given(LOGS, st.integers(1, 1000), st.sampled_from(["", ".gz", ".zst"]))
def test_archived_names_are_recognized(log: RotatedLog, number: int, suffix: str) -> None:
    assert parse_day(log.day) == log.opened.date()
    assert opening_time(log.archived_name(number) + suffix) == f"{log.opened:%H:%M:%S}"


@given(LOGS)
def test_no_two_numbers_give_the_same_name(log: RotatedLog) -> None:
    assert len({log.archived_name(number) for number in range(1, 20)}) == 19


@given(FILE_NAMES)
def test_any_name_is_read_or_refused(name: str) -> None:
    log = parse_rotated(name)
    if log is not None:
        assert not log.archived_name().startswith(".")
    assert "/" not in temporary_name(name)
    assert temporary_name(name).startswith(TEMPORARY_PREFIX)
    assert opening_time(temporary_name(name)) is None


ARCHIVED = st.builds(
    ArchivedLog,
    st.dates(date(2024, 1, 1), date(2024, 1, 10)),
    st.sampled_from(["00:00:00", "12:00:00"]),
    WORDS,
    st.integers(0, 100),
)


@given(st.lists(ARCHIVED, max_size=30), st.dates(date(2024, 1, 1), date(2024, 1, 12)), st.integers(0, 12))
def test_only_older_ones_expire(logs: list[ArchivedLog], today: date, days: int) -> None:
    gone = too_old(logs, today, days)
    oldest_kept = today - timedelta(days)
    assert sorted(logs)[: len(gone)] == gone
    assert all(log.day < oldest_kept for log in gone)
    assert not days or all(log.day >= oldest_kept for log in sorted(logs)[len(gone) :])


@given(
    st.lists(ARCHIVED, max_size=30),
    st.integers(0, 2000),
    st.integers(0, 2000),
    st.floats(1, 99),
    st.dates(date(2024, 1, 1)),
)
def test_room_is_made_by_the_oldest_and_no_more_than_needed(
    logs: list[ArchivedLog], used: int, free: int, percent: float, today: date
) -> None:
    gone = too_much(logs, today, Room(used, free), percent)
    assert sorted(logs)[: len(gone)] == gone
    assert all(log.day < today for log in gone)
    limit = (used + free) * percent / 100
    after = used - sum(log.size for log in gone)
    if gone:
        assert after + gone[-1].size > limit
    rest = sorted(logs)[len(gone) :]
    assert after <= limit or not rest or rest[0].day >= today
