"""One deployment on its way: who wants it, how far it has come, and what is known of its nodes."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Iterable
from dataclasses import dataclass, field

from zeekfleet.broker.events.deployments import DeploymentOutcome, DeploymentProgress
from zeekfleet.controller.fanout import TIMED_OUT
from zeekfleet.model.deployments import KEEP, STOP, NodeAction
from zeekfleet.model.enums import State
from zeekfleet.model.management import Configuration, Result


class Step(enum.Enum):
    """Where a deployment is; a member's value is its text. In the order in which they are taken."""

    QUEUED = "queued"
    MEETING = "waiting for instances"
    ASSIGNING = "assigning ports"
    CHECKING = "checking"
    HANDING_OVER = "waiting for nodes"
    KEEPING = "storing the configuration"
    DONE = "done"


@dataclass(slots=True, eq=False)
class Order:
    """A deployment that somebody wants.

    Attributes:
        reqid: of the client's request, or of the controller's own.
        configuration: as it was staged; with addresses and ports filled in once its instances were met.
        is_own: the controller wants it by itself.
        check: the agents are to check it first.
        peer: the number of the client's connection, 0 if there is none.
        step: see there.
        place: how many come before it.
        missing: instances that are awaited, or were in vain: what is known of each.
        states: what the agents have told of the nodes since they were handed the configuration.
        actions: what the agents do about their nodes, as far as they have told.
        results: its outcome.
        given_up: why it was given up, if it was.
        moved: called at every change.
    """

    reqid: str
    configuration: Configuration
    is_own: bool = False
    check: bool = False
    peer: int = 0
    step: Step = Step.QUEUED
    place: int = 0
    missing: dict[str, str] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    actions: dict[str, tuple[NodeAction, ...]] = field(default_factory=dict)
    results: asyncio.Future[list[Result]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    given_up: str = ""
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def to(self, step: Step) -> None:
        """Take the next step."""
        self.step, self.place = step, 0
        self.moved.set()

    @property
    def touches_nothing(self) -> bool:
        """Whether no agent has been told to change anything, so that all is as it was before."""
        return self.step in (Step.QUEUED, Step.MEETING, Step.ASSIGNING, Step.CHECKING)

    def heard_actions(self, instance: str, actions: tuple[NodeAction, ...]) -> None:
        """An agent has decided what it does about its nodes."""
        self.actions[instance] = actions
        self.states |= {action.node: State.RUNNING for action in actions if action.action == KEEP}
        self.moved.set()

    def heard_state(self, node: str, state: State) -> None:
        """A node's state has changed."""
        if self.step is Step.HANDING_OVER:
            self.states[node] = state
            self.moved.set()

    def awaited_nodes(self) -> tuple[str, ...]:
        """Nodes that are neither up nor known to have failed, sorted by name."""
        if self.step is not Step.HANDING_OVER:
            return ()
        known = (State.RUNNING, State.FAILED)
        names = (node.name for node in self.configuration.nodes)
        return tuple(sorted(name for name in names if self.states.get(name) not in known))

    def progress(self) -> DeploymentProgress:
        """How far it has come."""
        return DeploymentProgress(
            self.reqid,
            self.configuration.id,
            self.step.value,
            self.place,
            dict(self.missing),
            self.awaited_nodes(),
            self._all_actions(),
        )

    def outcome(self, results: Iterable[Result]) -> DeploymentOutcome:
        """What came of it."""
        failed = [result for result in results if not result.success]
        return DeploymentOutcome(
            self.reqid,
            self.configuration.id,
            not failed,
            tuple(_sentence(result) for result in failed),
            dict(self.missing),
            self._all_actions(),
        )

    def results_so_far(self) -> list[Result]:
        """For a client that can wait no longer, while the deployment goes on."""
        results = [Result(self.reqid, False, error=TIMED_OUT), *missing_results(self.reqid, self.missing)]
        if self.step is Step.HANDING_OVER:
            results += [
                Result(self.reqid, self.states.get(node.name) is State.RUNNING, node.instance, node=node.name)
                for node in sorted(self.configuration.nodes, key=lambda node: (node.instance, node.name))
            ]
        return results

    def _all_actions(self) -> tuple[NodeAction, ...]:
        found = (action for actions in self.actions.values() for action in actions)
        return tuple(sorted(found, key=lambda action: (action.action == STOP, action.instance, action.node)))


def missing_results(reqid: str, missing: dict[str, str]) -> list[Result]:
    """One failed result an instance that is not there."""
    return [
        Result(reqid, False, name, error=f"instance '{name}' is missing: {why}")
        for name, why in sorted(missing.items())
    ]


def _sentence(result: Result) -> str:
    reason = result.error or "failed"
    return f"node '{result.node}': {reason}" if result.node else reason
