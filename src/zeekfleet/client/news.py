"""What controller and agents report about a deployment while it runs. Pure."""

from __future__ import annotations

from zeekfleet.broker.events.agent import NotifyChange, NotifyError, NotifyLog
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.deployments import DeploymentOutcome, DeploymentProgress
from zeekfleet.model.deployments import NodeAction


class News:
    """What is reported about one deployment.

    Attributes:
        reqid: the deployment's request id.
        latest: the last progress that was reported; None before the first.
        actions: what is done about each node, as far as it is known.
    """

    def __init__(self, reqid: str) -> None:
        self.reqid = reqid
        self.latest: DeploymentProgress | None = None
        self.actions: tuple[NodeAction, ...] = ()
        self._told = ""
        self._told_again = ""

    def concerns(self, topic: str, event: Event) -> bool:
        """Whether an event is about this deployment, or about nodes that it may have touched."""
        return self._is_own(event) or is_progress(topic, event)

    def heard(self, topic: str, event: Event) -> bool:
        """Record an event. Returns whether it shows that the deployment makes progress."""
        if isinstance(event, DeploymentProgress | DeploymentOutcome) and self._is_own(event):
            self.actions = event.actions
            if isinstance(event, DeploymentProgress):
                self.latest = event
            return True
        # A controller that reports progress reports all of it. With an older controller, agents' events count.
        return self.latest is None and is_progress(topic, event)

    def waiting(self) -> str:
        """Such as ``waiting for instance a2 (never connected)``; ``""`` if it waits only for nodes, or for nothing."""
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
        """What happens with the deployment if its client disconnects now."""
        if self.waiting():
            return "the controller gives the deployment up, and what runs is left as it is"
        return "the deployment goes on: 'zeekfleet status' shows its nodes, 'zeekfleet deploy --abort' gives it up"

    def lasting_wait(self) -> str:
        """The text of :meth:`waiting` if the last call found the same text, once; else ``""``.

        So each wait is shown once, and a wait that is soon over is not shown at all.
        """
        told, self._told = self._told, self.waiting()
        if not self._told or self._told != told or self._told == self._told_again:
            return ""
        self._told_again = told
        return told

    def _is_own(self, event: Event) -> bool:
        return isinstance(event, DeploymentProgress | DeploymentOutcome) and event.reqid == self.reqid


def is_progress(_topic: str, event: Event) -> bool:
    """Whether an event shows that agents are at work, so that it makes sense to wait longer."""
    return isinstance(event, NotifyChange | NotifyError | NotifyLog)
