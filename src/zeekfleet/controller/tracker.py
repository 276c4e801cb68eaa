"""Tracks a deployment from its request to its end, for clients and the log."""

from __future__ import annotations

import asyncio

from zeekfleet.broker.events.deployments import DeploymentOutcome, DeploymentProgress
from zeekfleet.controller.deployment import Deployment, Step, missing_results
from zeekfleet.model.deployments import KEEP, STOP, NodeAction
from zeekfleet.model.enums import State
from zeekfleet.model.management import TIMED_OUT, Node, Result
from zeekfleet.waiting import Signal


class Tracker:
    """Follows one deployment.

    Args:
        deployment: the deployment as it was requested.

    Attributes:
        deployment: the deployment as it is now.
        place: how many deployments come before it.
        given_up: why it was given up; None if it was not.
        changed: notified whenever the result of :meth:`progress` changes.
        ended: a future for the ended deployment, with its results.
    """

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.place = 0
        self.given_up = ""
        self.changed = Signal()
        self.ended: asyncio.Future[Deployment] = asyncio.get_running_loop().create_future()
        self._states: dict[tuple[str, str], State] = {}
        """By instance and node: an agent speaks for its own nodes only."""
        self._actions: dict[str, tuple[NodeAction, ...]] = {}

    def advance(self, deployment: Deployment) -> None:
        """The deployment has reached another step, or waits for other instances."""
        self.deployment, self.place = deployment, 0
        self.changed.notify()

    def wait_behind(self, place: int) -> None:
        """Note how many deployments come before it."""
        if place != self.place:
            self.place = place
            self.changed.notify()

    def heard_actions(self, instance: str, actions: tuple[NodeAction, ...]) -> None:
        """An agent has reported what it will do about its nodes."""
        self._actions[instance] = actions
        self._states |= {(instance, action.node): State.RUNNING for action in actions if action.action == KEEP}
        self.changed.notify()

    def heard_state(self, instance: str, node: str, state: State) -> None:
        """An instance's node has changed its state."""
        if self.deployment.step is Step.HANDING_OVER:
            self._states[instance, node] = state
            self.changed.notify()

    def awaited_nodes(self) -> tuple[str, ...]:
        """Nodes that are neither up nor known to have failed, sorted by name."""
        if self.deployment.step is not Step.HANDING_OVER:
            return ()
        known = (State.RUNNING, State.FAILED)
        nodes = self.deployment.configuration.nodes
        return tuple(sorted(node.name for node in nodes if self._state(node) not in known))

    def _state(self, node: Node) -> State | None:
        return self._states.get((node.instance, node.name))

    def progress(self) -> DeploymentProgress:
        """How far it has come."""
        return DeploymentProgress(
            self.deployment.reqid,
            self.deployment.configuration.id,
            self.deployment.step.value,
            self.place,
            dict(self.deployment.missing),
            self.awaited_nodes(),
            self._all_actions(),
            self.deployment.by,
        )

    def outcome(self) -> DeploymentOutcome:
        """Its outcome."""
        failed = [result for result in self.deployment.results if not result.success]
        return DeploymentOutcome(
            self.deployment.reqid,
            self.deployment.configuration.id,
            not failed,
            tuple(_sentence(result) for result in failed),
            dict(self.deployment.missing),
            self._all_actions(),
            self.deployment.by,
        )

    def results_so_far(self) -> list[Result]:
        """The results for a client that cannot wait any longer, while the deployment goes on."""
        reqid, configuration = self.deployment.reqid, self.deployment.configuration
        results = [Result(reqid, False, error=TIMED_OUT), *missing_results(reqid, self.deployment.missing)]
        if self.deployment.step is Step.HANDING_OVER:
            results += [
                Result(reqid, self._state(node) is State.RUNNING, node.instance, node=node.name)
                for node in sorted(configuration.nodes, key=lambda node: (node.instance, node.name))
            ]
        return results

    def activity(self) -> str:
        """What it is doing, such as ``waiting for instances a1, a2``."""
        awaited = ", ".join(self.deployment.missing) if self.deployment.step is Step.MEETING else ""
        return f"{self.deployment.step.value} {awaited}".strip()

    def what_giving_up_leaves(self) -> str:
        """What remains changed if it is given up now, as a clause."""
        if self.deployment.touches_nothing:
            return "nothing was changed"
        awaited = self.awaited_nodes()
        count = "1 node was" if len(awaited) == 1 else f"{len(awaited)} nodes were"
        nodes = f" ({count} not up yet)" if awaited else ""
        return f"what its agents have begun goes on{nodes}, and the former configuration stays the deployed one"

    def was_given_up(self) -> Deployment:
        """The deployment with a result that says that it was given up."""
        why = self.given_up
        passive = why if why.startswith("given up") else f"given up: {why}"
        return self.deployment.failed(f"deployment {self.deployment.reqid} was {passive}")

    def _all_actions(self) -> tuple[NodeAction, ...]:
        found = (action for actions in self._actions.values() for action in actions)
        return tuple(sorted(found, key=lambda action: (action.action == STOP, action.instance, action.node)))


def _sentence(result: Result) -> str:
    reason = result.error or "failed"
    return f"node '{result.node}': {reason}" if result.node else reason
