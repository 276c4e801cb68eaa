"""How long to wait for a process that was told to end."""

from __future__ import annotations

import pytest

from zeekfleet.lifecycle.stopping import MEASURE_EVERY, REPORT_EVERY, Stop, Work
from zeekfleet.model.supervision import work_text

BEFORE = Work(1_000_000, 50.0)


def written(stop: Stop, at: float, total: int) -> None:
    stop.measured(at, Work(BEFORE.written + total, BEFORE.cpu))


def test_without_a_ceiling_only_the_grace_counts() -> None:
    stop = Stop(100.0, 10.0, 0.0)
    assert not stop.work_counts
    assert (stop.due, stop.next_measurement) == (110.0, 110.0)


def test_each_sign_of_work_renews_the_grace_up_to_the_ceiling() -> None:
    stop = Stop(100.0, 10.0, 25.0, BEFORE)
    assert stop.work_counts
    assert (stop.due, stop.next_measurement) == (110.0, 100.0 + MEASURE_EVERY)
    written(stop, 108.0, 50_000)
    assert stop.due == 118.0
    written(stop, 117.0, 50_000)
    assert stop.due == 118.0, "nothing was written"
    written(stop, 118.0, 200_000)
    assert stop.due == 125.0, "the ceiling"
    assert stop.done == Work(200_000, 0.0)


def test_with_a_short_grace_work_is_measured_more_often() -> None:
    assert Stop(100.0, 0.5, 60.0, BEFORE).next_measurement == 100.25


@pytest.mark.parametrize(
    ("bytes_", "cpu", "is_sign"),
    [(4096, 0.0, True), (100, 0.0, False), (0, 0.01, False), (0, 0.1, True), (-10, -1.0, False)],
    ids=["written", "a wake-up", "an idle loop", "computed", "a child that left"],
)
def test_signs_of_work(bytes_: int, cpu: float, is_sign: bool) -> None:
    stop = Stop(100.0, 10.0, 300.0, BEFORE)
    stop.measured(101.0, Work(BEFORE.written + bytes_, BEFORE.cpu + cpu))
    assert (stop.due == 111.0) is is_sign
    assert min(stop.done) >= 0


def test_reports_come_now_and_then_while_it_works() -> None:
    stop = Stop(100.0, 10.0, 300.0, BEFORE)
    written(stop, 101.0, 10_000)
    assert not stop.take_due_report(101.0)
    assert stop.take_due_report(100.0 + REPORT_EVERY)
    assert not stop.take_due_report(100.0 + 2 * REPORT_EVERY), "nothing has been done since"
    written(stop, 107.0, 20_000)
    assert stop.take_due_report(107.0)
    assert stop.elapsed(107.0) == 7.0


def test_after_hurry_the_grace_counts_from_the_beginning() -> None:
    stop = Stop(100.0, 10.0, 300.0, BEFORE)
    written(stop, 108.0, 50_000)
    stop.hurry()
    assert (stop.due, stop.next_measurement) == (110.0, 110.0)
    written(stop, 109.0, 100_000)
    assert stop.due == 110.0


def test_the_texts() -> None:
    assert work_text(110_400_000, 3.0) == "still writing, 110 MB"
    assert work_text(20_000, 12.4) == "still working, 12 s of CPU"
