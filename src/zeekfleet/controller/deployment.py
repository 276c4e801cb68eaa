"""A deployment on its way to the agents: an immutable value, from which each step of the pipeline makes the next."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any, Self

import msgspec

from zeekfleet.controller.meeting import NO_MEETING, Meeting
from zeekfleet.controller.plan import Plan
from zeekfleet.model.curve import CurveKeys
from zeekfleet.model.management import Configuration, Result


class Step(enum.Enum):
    """Where a deployment is, in the order of the steps; the value is the text that clients are told."""

    QUEUED = "queued"
    MEETING = "waiting for instances"
    ASSIGNING = "assigning ports"
    CHECKING = "checking"
    HANDING_OVER = "waiting for nodes"
    KEEPING = "storing the configuration"
    DONE = "done"


TOUCHES_NOTHING = frozenset({Step.QUEUED, Step.MEETING, Step.ASSIGNING, Step.CHECKING})
"""The steps in which no agent has been told to change anything, so that the cluster is as it was before."""


class Deployment(msgspec.Struct, frozen=True):
    """A configuration that somebody wants deployed, and how far it has come.

    Attributes:
        reqid: the id of the client's request, or of the controller's own.
        staged: the configuration as it was staged.
        is_own: whether the controller started it by itself.
        check: whether the agents are to check it first.
        client: the number of the connection of the client that asked for it; 0 if there is none.
        by: who asked for it, and from where, for a person; ``""`` for the controller itself.
        step: the step that it is in.
        former: the configuration that counts as deployed until this one does.
        plan: how it changes the cluster's instances.
        meeting: the instances that it waits for, and those to which connections are kept for it.
        completed: the configuration with addresses and ports filled in; None until then.
        keys: the keys for the nodes of a cluster on several hosts.
        missing: the instances that it waits for, or that did not connect in time: by name, what is known of each.
        results: the agents' results, and at the end also its own.
    """

    reqid: str
    staged: Configuration
    is_own: bool = False
    check: bool = False
    client: int = 0
    by: str = ""
    step: Step = Step.QUEUED
    former: Configuration | None = None
    plan: Plan = Plan()
    meeting: Meeting = NO_MEETING
    completed: Configuration | None = None
    keys: CurveKeys | None = None
    missing: Mapping[str, str] = {}
    results: tuple[Result, ...] = ()

    @property
    def configuration(self) -> Configuration:
        """The completed configuration, or the staged one until then."""
        return self.completed or self.staged

    @property
    def touches_nothing(self) -> bool:
        """Whether no agent has been told to change anything yet."""
        return self.step in TOUCHES_NOTHING

    @property
    def succeeded(self) -> bool:
        """Whether none of the results is a failure."""
        return all(result.success for result in self.results)

    def having(self, **changes: Any) -> Self:
        """A copy with these attributes changed."""
        return msgspec.structs.replace(self, **changes)

    def failed(self, *errors: str) -> Self:
        """A copy whose results are replaced by failures, one for each error."""
        return self.having(results=tuple(Result(self.reqid, False, error=error) for error in errors))


def missing_results(reqid: str, missing: Mapping[str, str]) -> list[Result]:
    """A failed result for each missing instance, sorted by name."""
    return [
        Result(reqid, False, name, error=f"instance '{name}' is missing: {why}")
        for name, why in sorted(missing.items())
    ]


def without_id(results: Iterable[Result]) -> list[Result]:
    """The agents' results only, without the one with the configuration's id: the first generation does not have it."""
    return [result for result in results if result.instance is not None or not result.success]
