"""A node's life as its agent sees it. Read the names of the tests: they are the specification."""

from __future__ import annotations

import pytest

from zeekfleet.lifecycle.node_life import EARLY_EXITS_TO_FAIL, SILENT_STARTS_TO_FAIL, SLOW_START_FACTOR, NodeLife
from zeekfleet.model.enums import State


@pytest.fixture
def life() -> NodeLife:
    """A node that has just been launched on request; its process is not there yet."""
    life = NodeLife()
    life.launched()
    return life


def keep_silent(life: NodeLife, times: int) -> None:
    """Let ``count`` processes in a row start, say no hello, and be ended for that."""
    for pid in range(1, times + 1):
        life.started(pid, now=0.0)
        life.kept_silent(now=60.0)
        life.exited()


def test_a_node_is_unknown_until_something_is_reported() -> None:
    assert NodeLife().state is State.UNKNOWN


def test_a_launched_node_is_pending_until_it_says_hello_and_then_running(life: NodeLife) -> None:
    assert life.state is State.PENDING
    assert not life.is_settled
    life.started(1, now=0.0)
    assert life.state is State.PENDING
    assert life.awaits_hello
    life.said_hello()
    assert life.state is State.RUNNING
    assert life.is_settled
    assert not life.failed


def test_a_hello_before_the_process_is_told_counts_once_it_is(life: NodeLife) -> None:
    assert life.said_hello() == ()
    assert life.state is State.PENDING
    life.started(1, now=0.0)
    assert life.state is State.RUNNING


def test_a_repeated_report_of_a_process_changes_nothing(life: NodeLife) -> None:
    life.started(1, now=0.0)
    life.said_hello()
    assert life.started(1, now=5.0) == ()
    assert life.state is State.RUNNING


# --- early exits


def test_one_early_exit_is_a_crash_but_the_launch_may_still_succeed(life: NodeLife) -> None:
    life.started(1, now=0.0)
    life.exited()
    assert life.state is State.CRASHED
    assert not life.failed
    assert not life.is_settled


def test_enough_early_exits_fail_the_launch(life: NodeLife) -> None:
    for pid in range(1, EARLY_EXITS_TO_FAIL + 1):
        life.started(pid, now=0.0)
        life.exited()
    assert life.state is State.FAILED
    assert life.failed
    assert life.is_settled


def test_an_exit_that_fails_the_launch_is_first_a_crash(life: NodeLife) -> None:
    life.started(1, now=0.0)
    life.exited()
    life.started(2, now=0.0)
    assert life.exited() == ((State.PENDING, State.CRASHED), (State.CRASHED, State.FAILED))


def test_exits_after_a_hello_are_not_early(life: NodeLife) -> None:
    for pid in range(1, 10):
        life.started(pid, now=0.0)
        life.said_hello()
        life.exited()
    assert life.state is State.CRASHED
    assert not life.failed


@pytest.mark.parametrize("event", ["said_hello", "launched"])
def test_a_hello_or_a_launch_clears_what_failed_before(life: NodeLife, event: str) -> None:
    keep_silent(life, SILENT_STARTS_TO_FAIL)
    life.started(9, now=0.0)
    assert life.failed
    getattr(life, event)()
    assert (life.early_exits, life.silent_starts, life.failed) == (0, 0, False)


# --- no hello


def test_a_process_without_a_hello_in_time_fails_its_launch(life: NodeLife) -> None:
    life.started(1, now=100.0)
    assert life.hello_due(limit=60.0) == 160.0
    life.kept_silent(now=160.0)
    assert life.state is State.FAILED
    assert life.failed
    assert life.hello_due(limit=60.0) == 220.0, "if nobody ends it, it gets the same time again"


def test_the_process_after_a_silent_one_starts_with_a_clean_slate(life: NodeLife) -> None:
    keep_silent(life, 1)
    life.started(2, now=0.0)
    assert life.state is State.PENDING
    assert not life.failed


def test_a_node_that_keeps_silent_stays_failed_and_is_given_more_time(life: NodeLife) -> None:
    keep_silent(life, SILENT_STARTS_TO_FAIL)
    life.started(9, now=0.0)
    assert life.keeps_silent
    assert life.state is State.FAILED
    assert life.awaits_hello
    assert life.hello_due(limit=60.0) == 60.0 * SLOW_START_FACTOR
    life.said_hello()
    assert life.state is State.RUNNING
    assert not life.keeps_silent


def test_a_running_node_that_does_not_respond_has_failed_until_its_next_process(life: NodeLife) -> None:
    life.started(1, now=0.0)
    life.said_hello()
    life.does_not_respond()
    assert (life.state, life.failed) == (State.FAILED, True)
    life.exited()
    life.started(2, now=0.0)
    assert (life.state, life.failed) == (State.PENDING, False)


# --- what the supervisor says


def test_a_node_that_could_not_be_created_has_failed(life: NodeLife) -> None:
    life.refused("there is no zeek")
    assert (life.state, life.refusal, life.is_settled) == (State.FAILED, "there is no zeek", True)


def test_a_process_that_is_not_started_again_fails_its_launch(life: NodeLife) -> None:
    life.started(1, now=0.0)
    life.exited()
    life.ended("was killed by SIGSEGV", is_over=False)
    assert not life.failed
    life.ended("could not be started: Argument list too long", is_over=True)
    assert life.failed
    assert life.last_end == "could not be started: Argument list too long"


def test_a_process_that_is_found_after_a_refusal_disproves_it(life: NodeLife) -> None:
    life.found(1, now=0.0)
    life.said_hello()
    life.refused("request timed out")
    assert life.state is State.FAILED
    life.found(1, now=0.0)
    assert (life.state, life.failed, life.awaits_hello) == (State.PENDING, False, True)


def test_a_found_process_was_not_started_by_us(life: NodeLife) -> None:
    life.found(1, now=0.0)
    assert life.was_found
    life.started(2, now=0.0)
    assert not life.was_found


def test_a_node_that_is_found_without_a_process_has_crashed_or_failed() -> None:
    waiting, failed = NodeLife(), NodeLife()
    waiting.found_ended(has_failed=False)
    failed.found_ended(has_failed=True)
    assert (waiting.state, waiting.failed) == (State.CRASHED, False)
    assert (failed.state, failed.failed) == (State.FAILED, True)
    failed.started(2, now=0.0)
    assert (failed.state, failed.failed) == (State.PENDING, False)


# --- a restart


def test_the_end_of_a_predecessor_that_we_stop_is_no_crash(life: NodeLife) -> None:
    life.started(1, now=0.0)
    life.said_hello()
    life.launched()
    assert life.predecessor_stops
    assert life.exited() == ()
    assert life.state is State.PENDING
    life.started(2, now=0.0)
    assert not life.predecessor_stops


def test_a_hello_of_a_predecessor_that_we_stop_does_not_count(life: NodeLife) -> None:
    life.started(1, now=0.0)
    life.said_hello()
    life.launched()
    life.said_hello()
    life.started(2, now=0.0)
    assert life.state is State.PENDING


def test_a_process_is_a_successor_only_after_an_end_or_a_stop(life: NodeLife) -> None:
    assert not life.next_process_is_successor
    life.started(1, now=0.0)
    assert not life.next_process_is_successor
    life.exited()
    assert life.next_process_is_successor
    life.started(2, now=0.0)
    life.launched()
    assert life.next_process_is_successor


# --- unknown, or removed


def test_without_the_supervisor_the_state_is_unknown_until_the_process_is_found(life: NodeLife) -> None:
    life.started(1, now=0.0)
    life.said_hello()
    life.lost()
    assert (life.state, life.pid) == (State.UNKNOWN, None)
    life.found(1, now=0.0)
    assert life.state is State.PENDING
    life.said_hello()
    assert life.state is State.RUNNING


def test_a_removed_node_is_stopped(life: NodeLife) -> None:
    assert life.removed() == ((State.PENDING, State.STOPPED),)
