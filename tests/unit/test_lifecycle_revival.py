from __future__ import annotations

import pytest

from zeekfleet.lifecycle.revival import Decision, Revival
from zeekfleet.model.launch import RevivalSettings


def middle() -> float:
    return 0.5


def test_at_once_then_exponential_up_to_the_ceiling() -> None:
    settings = RevivalSettings(initial_delay=1, factor=2, max_delay=5, loop_limit=100)
    revival = Revival(settings, middle)
    assert [revival.ended(t, t).delay for t in range(6)] == [0, 1, 2, 4, 5, 5]


def test_a_long_run_clears_everything() -> None:
    revival = Revival(RevivalSettings(stable_after=30), middle)
    for t in range(6):
        decision = revival.ended(t, t)
    assert decision.failed
    assert revival.ended(100, 129.9).failed
    assert revival.ended(200, 230) == Decision(delay=0.0)


def test_crash_loop_ends_in_failed_with_slow_retry() -> None:
    settings = RevivalSettings(loop_limit=3, loop_window=10, retry_delay=60)
    revival = Revival(settings, middle)
    assert [revival.ended(t, t).failed for t in (0, 1, 2)] == [False, False, False]
    assert revival.ended(3, 3) == Decision(delay=60, failed=True)
    # The slow retries lie further apart than the window, and are still the same loop.
    assert revival.ended(63, 64) == Decision(delay=60, failed=True)


def test_ends_outside_the_window_are_no_loop() -> None:
    revival = Revival(RevivalSettings(loop_limit=2, loop_window=10), middle)
    assert not any(revival.ended(t, t).failed for t in range(0, 100, 6))


def test_without_retry_it_stays_down() -> None:
    revival = Revival(RevivalSettings(loop_limit=0, retry_delay=0), middle)
    assert revival.ended(0, 0) == Decision(delay=None, failed=True)


def test_disabled() -> None:
    assert Revival(RevivalSettings(enabled=False), middle).ended(0, 1) == Decision(delay=None)


def test_a_failed_start_is_not_repeated_at_once() -> None:
    revival = Revival(RevivalSettings(initial_delay=1), middle)
    assert revival.ended(0, 0, was_running=False).delay == 1
    assert revival.ended(1, 1, was_running=False).delay == 2


def test_clear_after_a_restart_on_request() -> None:
    revival = Revival(RevivalSettings(), middle)
    assert revival.ended(0, 0).delay == 0
    assert revival.ended(0, 0).delay == 0.5
    revival.clear()
    assert revival.ended(0, 0).delay == 0


@pytest.mark.parametrize(("drawn", "delay"), [(0.0, 0.9), (1.0, 1.1)])
def test_jitter_to_both_sides(drawn: float, delay: float) -> None:
    revival = Revival(RevivalSettings(initial_delay=1, jitter=0.1), lambda: drawn)
    revival.ended(0, 0)
    assert revival.ended(0, 0).delay == pytest.approx(delay)


def test_by_default_a_program_that_dies_at_once_is_found_to_fail_within_a_minute() -> None:
    revival, now = Revival(RevivalSettings(), middle), 0.0
    while not (decision := revival.ended(now, now)).failed:
        assert decision.delay is not None
        now += decision.delay
        assert now < 60


@pytest.mark.parametrize("limit", [2**63 - 1, 2**80, 100_000])
def test_a_huge_limit_is_never_reached(limit: int) -> None:
    revival = Revival(RevivalSettings(loop_limit=limit, initial_delay=0, max_delay=0, stable_after=1e9), middle)
    assert not any(revival.ended(0, 0).failed for _ in range(12_000))
    assert len(revival.history().ends) <= 32


def test_a_negative_limit_counts_as_zero() -> None:
    assert Revival(RevivalSettings(loop_limit=-5), middle).ended(0, 0).failed


@pytest.mark.parametrize("ends_before", range(8))
def test_the_history_can_be_restored(ends_before: int) -> None:
    settings = RevivalSettings(initial_delay=1, loop_limit=5, loop_window=100, retry_delay=60)
    whole, first = Revival(settings, middle), Revival(settings, middle)
    expected = [whole.ended(t, t) for t in range(10)]
    told = [first.ended(t, t) for t in range(ends_before)]
    second = Revival(settings, middle)
    second.restore(first.history())
    assert [*told, *(second.ended(t, t) for t in range(ends_before, 10))] == expected
