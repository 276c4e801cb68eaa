"""What controller and agents tell of a deployment while it runs. Pure."""

from __future__ import annotations

from zeekfleet.broker.events.agent import NotifyChange, NotifyError, NotifyLog
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.deployments import DeploymentOutcome, DeploymentProgress
from zeekfleet.model.deployments import NodeAction


class News:
    """What the controller tells of one deployment.

    Attributes:
        reqid: the deployment's request id.
        latest: its last progress, None before the first.
        actions: what is done about each node, as far as it is known.
    """

    def __init__(self, reqid: str) -> None:
        self.reqid = reqid
        self.latest: DeploymentProgress | None = None
        self.actions: tuple[NodeAction, ...] = ()
        self._told = ""
        self._told_again = ""

    def concerns(self, topic: str, event: Event) -> bool:
        """Whether an event tells something of this deployment, or of nodes that it may have touched."""
        return self._is_own(event) or is_progress(topic, event)

    def heard(self, topic: str, event: Event) -> bool:
        """Take note of an event; True if it shows that the deployment makes progress."""
        if isinstance(event, DeploymentProgress | DeploymentOutcome) and self._is_own(event):
            self.actions = event.actions
            if isinstance(event, DeploymentProgress):
                self.latest = event
            return True
        # A controller that tells its progress tells all of it; with an older one the agents' signs count.
        return self.latest is None and is_progress(topic, event)

    def waiting(self) -> str:
        """Such as ``waiting for instance a2 (never connected)``; ``""`` if it waits for nothing but nodes."""
        if self.latest is None:
            return ""
        if self.latest.place:
            count = "1 deployment" if self.latest.place == 1 else f"{self.latest.place} deployments"
            return f"waiting for {count} before this one"
        if self.latest.instances:
            missing = ", ".join(f"{name} ({why})" for name, why in sorted(self.latest.instances.items()))
            return f"waiting for instance{'s' if len(self.latest.instances) > 1 else ''} {missing}"
        return ""

    def without_us(self) -> str:
        """What becomes of the deployment if its client leaves now."""
        if self.waiting():
            return "the controller gives the deployment up, and what runs is left as it is"
        return "the deployment goes on: 'zeekfleet status' shows its nodes, 'zeekfleet deploy --abort' gives it up"

    def lasting_wait(self) -> str:
        """The text of :meth:`waiting` at the second call in a row that finds it, else ``""``.

        So each wait is told once, and one that is over at once is not told at all.
        """
        told, self._told = self._told, self.waiting()
        if not self._told or self._told != told or self._told == self._told_again:
            return ""
        self._told_again = told
        return told

    def _is_own(self, event: Event) -> bool:
        return isinstance(event, DeploymentProgress | DeploymentOutcome) and event.reqid == self.reqid


def is_progress(_topic: str, event: Event) -> bool:
    """Whether an event shows that agents are at work, so that it makes sense to wait on."""
    return isinstance(event, NotifyChange | NotifyError | NotifyLog)
