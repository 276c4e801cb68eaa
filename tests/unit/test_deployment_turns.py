"""Which deployment comes next, which gives way to which, and what is reported about one that is given up."""

from __future__ import annotations

import pytest

from zeekfleet.controller import turns
from zeekfleet.controller.deployment import Deployment, Step
from zeekfleet.controller.tracker import Tracker
from zeekfleet.controller.turns import Turns
from zeekfleet.errors import RequestFailedError
from zeekfleet.model.deployments import NodeAction
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Node, Result

CLIENT = 7
"""The number of a client's connection."""

CONFIGURATION = Configuration(
    "c", nodes=tuple(Node(name, "a1", ClusterRole.WORKER, State.PENDING) for name in ("w1", "w2"))
)


def client(reqid: str, connection: int = CLIENT) -> Tracker:
    return Tracker(Deployment(reqid, CONFIGURATION, client=connection))


def own() -> Tracker:
    return Tracker(Deployment("own", CONFIGURATION, is_own=True))


def advance(tracker: Tracker, step: Step, **missing: str) -> None:
    tracker.advance(tracker.deployment.having(step=step, missing=missing))


async def test_clients_come_in_the_order_of_their_requests() -> None:
    queue = Turns()
    assert queue.begin_next() is None
    first, second, third = client("1"), client("2"), client("3")
    for tracker in (first, second, third):
        assert queue.submit(tracker) is None
    assert [tracker.place for tracker in (first, second, third)] == [0, 1, 2]
    assert queue.begin_next() is first
    assert [tracker.place for tracker in (second, third)] == [1, 2]
    assert queue.pending == "1"
    queue.end(succeeded=True)
    assert [tracker.place for tracker in (second, third)] == [0, 1]
    assert queue.pending == "2"
    assert queue.begin_next() is second


async def test_the_number_of_waiting_deployments_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MAX_WAITING", 1)
    queue = Turns()
    queue.submit(client("1"))
    queue.begin_next()
    queue.submit(client("2"))
    with pytest.raises(RequestFailedError, match=r"too many deployments are waiting \(1\); try again later"):
        queue.submit(client("3"))


@pytest.mark.parametrize("step", list(Step))
async def test_the_controllers_own_deployment_gives_way_until_it_is_stored(step: Step) -> None:
    queue, present = Turns(), own()
    queue.begin(present)
    advance(present, step)
    assert queue.pending == ""
    superseded = queue.submit(client("1"))
    assert superseded is (None if step is Step.KEEPING else present)


@pytest.mark.parametrize("succeeded", [True, False])
async def test_the_controllers_own_deployment_is_repeated_only_if_the_clients_fails(succeeded: bool) -> None:
    queue = Turns()
    queue.begin(own())
    queue.submit(client("1"))
    queue.end(succeeded=False)
    assert not queue.take_own()
    queue.begin_next()
    queue.end(succeeded=succeeded)
    assert queue.take_own() is not succeeded
    assert not queue.take_own()


@pytest.mark.parametrize("succeeded", [True, False])
async def test_the_controllers_own_deployment_waits_for_clients_and_is_dropped_after_their_success(
    succeeded: bool,
) -> None:
    queue = Turns()
    queue.submit(client("1"))
    queue.want_own()
    assert not queue.take_own()
    queue.begin_next()
    queue.end(succeeded=succeeded)
    assert queue.take_own() is not succeeded


async def test_without_clients_the_controllers_own_deployment_begins_at_once() -> None:
    queue = Turns()
    queue.want_own()
    assert queue.take_own()
    queue.begin(own())
    queue.want_own()
    queue.end(succeeded=True)
    assert queue.take_own()  # wanted while it was under way, so once more


async def test_a_client_that_leaves_abandons_its_deployments_that_wait_or_lack_instances() -> None:
    queue, current, waiting, other = Turns(), client("1"), client("2"), client("3", CLIENT + 1)
    for tracker in (current, waiting, other):
        queue.submit(tracker)
    queue.begin_next()
    reason = "the client that asked for it is gone"
    assert queue.abandoned(0) == []
    assert queue.abandoned(CLIENT) == [(current, reason), (waiting, reason)]  # it has not begun yet
    advance(current, Step.MEETING)
    assert queue.abandoned(CLIENT) == [(waiting, reason)]
    advance(current, Step.MEETING, a9="never connected")
    assert queue.abandoned(CLIENT) == [(current, f"{reason}, and instances are missing"), (waiting, reason)]
    advance(current, Step.HANDING_OVER)
    assert queue.abandoned(CLIENT) == [(waiting, reason)]
    assert queue.leave(waiting)
    assert not queue.leave(waiting)
    assert not queue.leave(current)
    assert other.place == 1


async def test_a_deployment_is_found_until_it_is_stored() -> None:
    queue = Turns()
    for reqid, sentence in (("", "no deployment is under way"), ("9", "no deployment 9 is under way")):
        with pytest.raises(RequestFailedError, match=sentence):
            queue.find(reqid)
    first, second = client("1"), client("2")
    queue.submit(first)
    queue.submit(second)
    queue.begin_next()
    assert queue.find("") is first
    assert queue.find("2") is second
    advance(first, Step.KEEPING)
    with pytest.raises(RequestFailedError, match="deployment 1 is as good as done"):
        queue.find("")


async def test_the_outcome_of_giving_up_depends_on_the_step() -> None:
    tracker = client("1")
    advance(tracker, Step.MEETING, a1="never connected", a2="never connected")
    assert tracker.activity() == "waiting for instances a1, a2"
    assert tracker.what_giving_up_leaves() == "nothing was changed"
    advance(tracker, Step.HANDING_OVER)
    assert tracker.activity() == "waiting for nodes"
    assert "what its agents have begun goes on (2 nodes were not up yet)" in tracker.what_giving_up_leaves()
    tracker.heard_state("a1", "w1", State.RUNNING)
    assert "(1 node was not up yet)" in tracker.what_giving_up_leaves()
    tracker.heard_state("a1", "w2", State.FAILED)
    assert "goes on, and the former" in tracker.what_giving_up_leaves()


@pytest.mark.parametrize(
    ("why", "error"),
    [
        ("given up by me while queued", "deployment 1 was given up by me while queued"),
        ("the client is gone", "deployment 1 was given up: the client is gone"),
    ],
)
async def test_a_deployment_that_was_given_up_says_why(why: str, error: str) -> None:
    tracker = client("1")
    tracker.given_up = why
    assert tracker.was_given_up().results == (Result("1", False, error=error),)


async def test_progress_names_awaited_nodes_and_ignores_states_of_earlier_steps() -> None:
    tracker = client("1")
    tracker.heard_state("a1", "w1", State.RUNNING)  # of what runs now
    advance(tracker, Step.HANDING_OVER)
    assert tracker.progress().nodes == ("w1", "w2")
    tracker.heard_state("a2", "w1", State.RUNNING)  # another instance's agent does not speak for this node
    assert tracker.progress().nodes == ("w1", "w2")
    tracker.heard_actions("a1", (NodeAction("w1", "a1", "keep"), NodeAction("w2", "a1", "start")))
    assert tracker.progress().nodes == ("w2",)
    so_far = [(result.node, result.success, result.error) for result in tracker.results_so_far()]
    assert so_far == [(None, False, "request timed out"), ("w1", True, None), ("w2", False, None)]


async def test_only_a_changed_place_in_the_queue_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    tracker, reported = client("1"), list[int]()
    monkeypatch.setattr(tracker.changed, "notify", lambda: reported.append(tracker.place))
    for place in (2, 2, 1):
        tracker.wait_behind(place)
    assert reported == [2, 1]
    advance(tracker, Step.MEETING)
    assert tracker.progress().place == 0


async def test_a_client_that_cannot_wait_is_refused_while_another_ones_deployment_is_pending() -> None:
    queue = Turns()
    queue.begin(own())
    assert queue.in_the_way(can_wait=False) == ""
    queue.submit(client("1"))
    assert queue.in_the_way(can_wait=False) == "1"
    assert queue.in_the_way(can_wait=True) == ""
