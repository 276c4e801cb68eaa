"""The steps of a deployment in their order, where it can end early, and what is undone then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from zeekfleet.broker.events.agent import DeployResponse
from zeekfleet.controller.deployment import Deployment, Step
from zeekfleet.controller.fanout import Answer
from zeekfleet.controller.keys import KeyFile
from zeekfleet.controller.meeting import Meeting
from zeekfleet.controller.pipeline import ATTEMPTS, Pipeline
from zeekfleet.controller.plan import Plan
from zeekfleet.errors import ConfigurationError, StoreWriteError
from zeekfleet.model.curve import CurveKeys
from zeekfleet.model.management import TIMED_OUT, Configuration, Instance, Result
from zeekfleet.model.types import Address
from zeekfleet.store.interface import ConfigState
from zeekfleet.waiting import Signal

STAGED = Configuration("new", (Instance("a1"), Instance("a2")))
COMPLETED = Configuration("new", (Instance("a1", Address("10.0.0.1")), Instance("a2", Address("10.0.0.2"))))
FORMER = Configuration("old", (Instance("a1"),))
ADOPTED = Meeting(former=FORMER.instances)


class Collaborators:
    """Replaces everything that a pipeline uses; records the steps, and fails where the test says so."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.missing_next: list[dict[str, str]] = []
        self.fails_at: dict[str, Exception] = {}
        self.problems_found: list[Result] = []
        self.answers: list[Answer] = []
        self.keys_given: CurveKeys | None = None
        self.reported: list[Deployment] = []
        self.former: Configuration | None = FORMER
        self.staged, self.completed = STAGED, COMPLETED

    def note(self, what: str) -> None:
        self.done.append(what)
        if what in self.fails_at:
            raise self.fails_at[what]

    # the membership

    def plan(self, _configuration: Configuration) -> Plan:
        return Plan(join=("a2",), stay=("a1",))

    @contextmanager
    def meeting(self, instances: Sequence[Instance]) -> Iterator[Meeting]:
        self.note(f"meet {' '.join(instance.name for instance in instances)}")
        try:
            yield Meeting(wanted=tuple(instances))
        finally:
            self.note("end of meeting")

    def welcome_all(self, meeting: Meeting) -> None:
        assert meeting.wanted == self.staged.instances
        self.note("welcome")

    def missing(self, meeting: Meeting) -> dict[str, str]:
        assert meeting.wanted == self.staged.instances
        return self.missing_next.pop(0) if self.missing_next else {}

    def adopt(self, configuration: Configuration, plan: Plan) -> Meeting:
        assert configuration == self.completed
        assert plan.join == ("a2",)
        self.note("adopt")
        return ADOPTED

    # completion, checking, handover, presence

    async def complete_with_agents(self, configuration: Configuration, former: Configuration | None) -> Configuration:
        assert (configuration, former) == (self.staged, self.former)
        self.note("complete")
        return self.completed

    async def problems(self, _reqid: str, configuration: Configuration, _former: Configuration | None) -> list[Result]:
        assert configuration == self.completed
        self.note("check")
        return self.problems_found

    async def to_all(
        self, names: Sequence[str], _configuration: Configuration, keys: CurveKeys | None
    ) -> Sequence[Answer]:
        self.note("hand over")
        self.keys_given = keys
        answered = [Answer(name, DeployResponse("x", (Result("x", instance=name),))) for name in names]
        return self.answers or answered

    def why_silent(self, name: str) -> str:
        return f"{name} is silent"

    # the stage

    async def get(self, state: ConfigState) -> Configuration | None:
        assert state is ConfigState.DEPLOYED
        self.note("read")
        return self.former

    async def check_room(self, _configuration: Configuration) -> None:
        self.note("look for room")

    async def deployed(self, configuration: Configuration) -> None:
        assert configuration == self.completed
        self.note("store")

    async def carry_out(self, *, is_own: bool = False, check: bool = True) -> Deployment:
        pipeline = Pipeline(
            self,  # type: ignore[arg-type]
            membership=self,  # type: ignore[arg-type]
            completion=self,  # type: ignore[arg-type]
            checking=self,  # type: ignore[arg-type]
            handover=self,  # type: ignore[arg-type]
            presence=self,  # type: ignore[arg-type]
            keys=KeyFile(),
            changed=Signal(),
            wait=0.0,
        )
        wanted = Deployment("r", self.staged, is_own=is_own, check=check)
        return await pipeline.carry_out(wanted, self.reported.append)


BEFORE_MEETING = ["read"]
PREPARED = ["welcome", "complete", "look for room", "check"]
MET = [*BEFORE_MEETING, "meet a1 a2", *PREPARED]


def errors(deployment: Deployment) -> list[str | None]:
    return [result.error for result in deployment.results if not result.success]


async def test_all_steps_run_in_order() -> None:
    parts = Collaborators()
    ended = await parts.carry_out()
    assert parts.done == [*MET, "adopt", "hand over", "store", "end of meeting"]
    assert [deployment.step for deployment in parts.reported] == [
        Step.MEETING,
        Step.ASSIGNING,
        Step.CHECKING,
        Step.HANDING_OVER,
        Step.KEEPING,
    ]
    assert [deployment.meeting for deployment in parts.reported] == [Meeting(STAGED.instances)] * 3 + [ADOPTED] * 2
    assert ended.succeeded
    assert [(result.instance, result.data) for result in ended.results] == [("a1", None), ("a2", None), (None, "new")]
    assert parts.keys_given is not None  # two hosts


async def test_the_controllers_own_deployment_is_not_checked_and_stored_only_if_it_differs() -> None:
    parts = Collaborators()
    parts.former = COMPLETED
    assert (await parts.carry_out(is_own=True, check=False)).succeeded
    assert parts.done == ["read", "meet a1 a2", "welcome", "complete", "adopt", "hand over", "end of meeting"]


async def test_an_instance_that_does_not_come_ends_the_deployment_before_any_change() -> None:
    parts = Collaborators()
    parts.missing_next = [{"a2": "never connected"}] * 9
    ended = await parts.carry_out()
    assert errors(ended) == [TIMED_OUT, "instance 'a2' is missing: never connected"]
    assert ended.missing == {"a2": "never connected"}
    assert parts.done == ["read", "meet a1 a2", "welcome", "end of meeting"]


async def test_instances_that_go_during_preparation_are_awaited_a_few_times() -> None:
    parts = Collaborators()
    gone = {"a2": "gone since 14:03"}
    parts.missing_next = [{}, gone] * ATTEMPTS
    ended = await parts.carry_out()
    assert errors(ended) == [TIMED_OUT, "instance 'a2' is missing: gone since 14:03"]
    assert parts.done == ["read", "meet a1 a2", *PREPARED * ATTEMPTS, "end of meeting"]


async def test_the_deployment_continues_once_all_instances_are_there() -> None:
    parts = Collaborators()
    parts.missing_next = [{}, {"a2": "gone since 14:03"}]
    assert (await parts.carry_out()).succeeded
    assert parts.done == [*MET, *PREPARED, "adopt", "hand over", "store", "end of meeting"]


@pytest.mark.parametrize(
    ("step", "error", "told"),
    [
        ("complete", ConfigurationError(["one", "two"]), ["one", "two"]),
        ("look for room", StoreWriteError("the disk is full"), ["the disk is full"]),
    ],
)
async def test_a_failure_to_complete_or_store_changes_nothing(step: str, error: Exception, told: list[str]) -> None:
    parts = Collaborators()
    parts.fails_at[step] = error
    assert errors(await parts.carry_out()) == told
    assert parts.done == [*MET[: MET.index(step) + 1], "end of meeting"]


async def test_an_unreadable_store_ends_the_deployment_before_any_instance_is_met() -> None:
    parts = Collaborators()
    parts.fails_at["read"] = StoreWriteError("the disk is gone")
    assert errors(await parts.carry_out()) == ["the disk is gone"]
    assert parts.done == ["read"]


async def test_keys_that_cannot_be_stored_end_the_deployment_before_any_change(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Collaborators()

    def keys(_self: KeyFile) -> CurveKeys:
        raise StoreWriteError("no keys")

    monkeypatch.setattr(KeyFile, "keys", keys)
    assert errors(await parts.carry_out()) == ["no keys"]
    assert parts.done == [*MET[:-1], "end of meeting"]


async def test_problems_found_by_agents_end_the_deployment_before_any_change() -> None:
    parts = Collaborators()
    parts.problems_found = [Result("r", False, "a1", error=TIMED_OUT), Result("r", False, "a2", error="no interface")]
    ended = await parts.carry_out()
    assert errors(ended) == [TIMED_OUT, "no interface", "instance 'a1' is missing: a1 is silent"]
    assert ended.missing == {"a1": "a1 is silent"}
    assert parts.done == [*MET, "end of meeting"]


@pytest.mark.parametrize("is_first", [True, False])
async def test_an_agent_that_does_not_answer_leaves_it_deployed_in_part(is_first: bool) -> None:
    parts = Collaborators()
    parts.former = None if is_first else FORMER
    parts.answers = [Answer("a1", None), Answer("a2", DeployResponse("x", (Result("x", instance="a2"),)))]
    ended = await parts.carry_out()
    told = errors(ended)
    assert told[:2] == [TIMED_OUT, "instance 'a1' is missing: a1 is silent"]
    in_part = [error for error in told if error and error.startswith("deployed in part: configuration old stays")]
    assert len(in_part) == (0 if is_first else 1)
    assert parts.done == [*MET, "adopt", "hand over", "end of meeting"]


async def test_a_failure_to_store_is_reported_with_the_agents_results() -> None:
    parts = Collaborators()
    parts.fails_at["store"] = StoreWriteError("the disk is full")
    ended = await parts.carry_out()
    assert [result.success for result in ended.results] == [True, True, False]
    assert errors(ended) == ["deployed, but it could not be kept: the disk is full"]
    assert parts.done[-1] == "end of meeting"


async def test_a_configuration_without_instances_is_sent_to_no_agent() -> None:
    parts = Collaborators()
    parts.staged = parts.completed = Configuration("new")
    ended = await parts.carry_out()
    assert [result.data for result in ended.results] == ["new"]
    assert "hand over" not in parts.done
    assert "store" in parts.done
