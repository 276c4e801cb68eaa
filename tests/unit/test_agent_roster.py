"""The agent's view of its nodes: reports about one process may arrive in any order."""

from __future__ import annotations

import asyncio

import pytest

from zeekfleet.agent.progress_timeout import ProgressTimeout
from zeekfleet.agent.results import deploy_results
from zeekfleet.agent.roster import Roster
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Node, NodeOutputs

OUTPUTS = NodeOutputs("out", "err")


class Watched:
    """A roster with one node that is being launched, and the changes of state that it reported."""

    def __init__(self) -> None:
        self.now = 0.0
        self.moves: list[tuple[State, State]] = []
        self.roster = Roster(lambda node, old, new: self.moves.append((old, new)), lambda: self.now)
        self.roster.keep([Node("w", "i", ClusterRole.WORKER, State.PENDING)])
        self.roster.launching("w")

    @property
    def state(self) -> State:
        return self.roster["w"].state


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_hello_makes_running(watched: Watched) -> None:
    watched.roster.started("w", 1)
    watched.roster.hello("w")
    assert watched.moves == [(State.UNKNOWN, State.PENDING), (State.PENDING, State.RUNNING)]


def test_a_hello_that_overtakes_the_process_id(watched: Watched) -> None:
    watched.roster.hello("w")
    assert watched.state is State.PENDING
    watched.roster.started("w", 1)
    assert watched.state is State.RUNNING


def test_a_repeated_report_of_a_process_is_no_restart(watched: Watched) -> None:
    watched.roster.started("w", 1)
    watched.roster.hello("w")
    watched.roster.started("w", 1)
    assert watched.state is State.RUNNING


def test_an_end_that_was_asked_for_is_no_crash(watched: Watched) -> None:
    watched.roster.started("w", 1)
    watched.roster.hello("w")
    watched.roster.launching("w")
    watched.roster.exited("w", OUTPUTS)
    assert watched.state is State.PENDING
    watched.roster.started("w", 2)
    watched.roster.hello("w")
    assert watched.state is State.RUNNING
    assert State.CRASHED not in {new for _, new in watched.moves}


def test_a_crash_and_its_revival(watched: Watched) -> None:
    watched.roster.started("w", 1)
    watched.roster.hello("w")
    watched.roster.exited("w", OUTPUTS)
    assert watched.state is State.CRASHED
    watched.roster.started("w", 2)
    watched.roster.hello("w")
    assert watched.state is State.RUNNING
    assert not watched.roster["w"].failed


def test_two_early_ends_are_a_failure_but_one_is_not(watched: Watched) -> None:
    watched.roster.started("w", 1)
    watched.roster.exited("w", OUTPUTS)
    assert not watched.roster["w"].failed
    watched.roster.started("w", 2)
    watched.roster.exited("w", OUTPUTS)
    assert watched.roster["w"].failed
    assert watched.state is State.FAILED
    assert watched.roster["w"].outputs == OUTPUTS
    watched.roster.started("w", 3)
    watched.roster.hello("w")
    assert watched.state is State.RUNNING
    assert not watched.roster["w"].failed


async def test_a_process_that_is_not_started_again_settles_its_node_and_the_result_says_why(watched: Watched) -> None:
    settled = asyncio.ensure_future(watched.roster.wait_until_settled({"w"}))
    watched.roster.exited("w", NodeOutputs("", ""))
    watched.roster.ended("w", "ended by SIGSEGV", over=False)
    await asyncio.sleep(0)
    assert not settled.done()
    watched.roster.ended("w", "could not be started: Argument list too long", over=True)
    await settled
    (result,) = deploy_results("r", "i", watched.roster, {"w"}, timed_out=False)
    assert (result.success, result.error) == (False, "could not be started: Argument list too long")
    assert result.data == NodeOutputs("", "could not be started: Argument list too long")


def test_the_outputs_of_a_failed_node_go_before_the_reason(watched: Watched) -> None:
    watched.roster.exited("w", OUTPUTS)
    watched.roster.ended("w", "exited with code 1", over=True)
    (result,) = deploy_results("r", "i", watched.roster, {"w"}, timed_out=False)
    assert (result.data, result.error) == (OUTPUTS, "exited with code 1")
    watched.roster.launching("w")
    assert not watched.roster["w"].failed


def test_the_result_of_a_node_that_could_not_be_created_says_why(watched: Watched) -> None:
    watched.roster.refused("w", "there is no zeek")
    (result,) = deploy_results("r", "i", watched.roster, {"w"}, timed_out=False)
    assert (result.data, result.error) == (NodeOutputs("", "there is no zeek"), "there is no zeek")


async def test_settling_waits_for_the_outcome(watched: Watched) -> None:
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(watched.roster.wait_until_settled(["w"]))
        watched.roster.started("w", 1)
        await asyncio.sleep(0)
        assert not waiting.done()
        watched.roster.hello("w")


async def test_settling_does_not_wait_for_a_node_that_left(watched: Watched) -> None:
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(watched.roster.wait_until_settled(["w"]))
        await asyncio.sleep(0)
        watched.roster.keep([])
    assert watched.moves[-1] == (State.PENDING, State.STOPPED)


async def test_the_next_overdue_node(watched: Watched) -> None:
    watched.now = 100.0
    watched.roster.started("w", 1)
    watched.now = 110.0
    assert await watched.roster.next_overdue(60.0) == ("w", 50.0)


def test_a_lost_supervisor_makes_unknown_until_it_is_back(watched: Watched) -> None:
    watched.roster.started("w", 1)
    watched.roster.hello("w")
    watched.roster.lost()
    assert watched.state is State.UNKNOWN
    watched.roster.found("w", 1)
    assert watched.state is State.PENDING


def test_missing_peers_count_while_the_node_and_the_peers_run(watched: Watched) -> None:
    roster = watched.roster
    roster.keep([Node(name, "i", ClusterRole.WORKER, State.PENDING) for name in ("w", "m")])
    for name, pid in (("w", 1), ("m", 2)):
        roster.launching(name)
        roster.started(name, pid)
    roster.peers("w", ["m", "elsewhere"])
    assert not roster.cut_off("w")  # it is not up itself
    roster.hello("w")
    assert roster.cut_off("w") == {"elsewhere"}  # the manager is down, which is reported by itself
    roster.hello("m")
    assert roster.cut_off("w") == {"m", "elsewhere"}
    watched.now = 7.0
    assert roster.cut_off_overdue("w", 10.0) == 3.0
    roster.peers("w", ["m"])
    assert roster.cut_off_overdue("w", 10.0) == 3.0  # the time goes on while any peer is missing
    roster.exited("w", OUTPUTS)
    roster.started("w", 3)
    roster.hello("w")
    assert not roster.cut_off("w")  # the new process has not reported its peers yet
    assert roster.cut_off_overdue("w", 10.0) is None


async def test_waiting_for_peers_ends_when_they_are_there_or_the_time_is_over(watched: Watched) -> None:
    roster = watched.roster
    roster.started("w", 1)
    roster.peers("w", ["m"])
    roster.hello("w")
    await roster.wait_until_connected(["w"], 0.01)
    assert roster.cut_off("w") == {"m"}
    waiting = asyncio.create_task(roster.wait_until_connected(["w"], 60.0))
    await asyncio.sleep(0)
    roster.peers("w", [])
    await asyncio.wait_for(waiting, 10.0)


def test_a_hello_of_a_predecessor_that_is_being_stopped_does_not_count(watched: Watched) -> None:
    watched.roster.started("w", 1)
    watched.roster.hello("w")
    watched.roster.launching("w")
    watched.roster.hello("w")  # of the process that is being stopped
    watched.roster.started("w", 2)
    assert watched.state is State.PENDING
    watched.roster.hello("w")
    assert watched.state is State.RUNNING


def test_a_process_that_is_found_after_a_refusal_cancels_it(watched: Watched) -> None:
    watched.roster.found("w", 1)
    watched.roster.hello("w")
    watched.roster.refused("w", "request timed out")
    assert watched.state is State.FAILED
    watched.roster.found("w", 1)
    assert watched.state is State.PENDING
    assert watched.roster.pending() == {"w"}, "it is asked for a hello"
    watched.roster.hello("w")
    assert watched.state is State.RUNNING
    assert not watched.roster["w"].failed


def test_a_process_that_comes_after_a_refusal_counts(watched: Watched) -> None:
    watched.roster.refused("w", "request timed out")
    watched.roster.started("w", 1)
    watched.roster.hello("w")
    assert watched.state is State.RUNNING
    assert not watched.roster["w"].failed


def test_a_found_node_that_runs_keeps_its_state(watched: Watched) -> None:
    watched.roster.started("w", 1)
    watched.roster.hello("w")
    assert watched.roster.all_running
    moves = list(watched.moves)
    watched.roster.found("w", 1)
    watched.roster.found("w", None)
    watched.roster.found("unknown", 2)
    assert watched.moves == moves


async def test_every_launch_whose_outcome_becomes_known_is_progress_and_moves_the_deadline() -> None:
    roster = Roster(lambda *_: None)
    names = ("w1", "w2", "w3")
    roster.keep([Node(name, "i", ClusterRole.WORKER, State.PENDING) for name in names])
    told = asyncio.Queue[None]()
    watching = asyncio.create_task(roster.progress(names, lambda: told.put_nowait(None)))
    for name in names:
        roster.launching(name)
        roster.started(name, 1)
    await asyncio.sleep(0)
    assert told.empty()
    roster.hello("w1")
    await told.get()
    roster.refused("w2", "its name is none")
    await told.get()
    roster.hello("w1")  # once more
    roster.hello("w3")
    await told.get()
    assert told.empty()
    watching.cancel()


async def test_waiting_ends_when_there_is_no_progress_for_too_long() -> None:
    timeout = ProgressTimeout(0.05)
    with pytest.raises(TimeoutError):
        async with timeout:
            await asyncio.Event().wait()
    timeout.progressed()  # after the time-out this has no effect


async def test_progress_can_change_the_time_to_wait() -> None:
    timeout = ProgressTimeout(3600)

    async def wait() -> None:
        async with timeout:
            timeout.progressed(0.05)
            assert timeout.left <= 0.05
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await wait()
