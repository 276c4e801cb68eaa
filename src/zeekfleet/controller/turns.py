"""Which deployment comes next, and which one gives way to which; pure.

One deployment is carried out at a time. These are the rules:

* Clients' deployments are carried out in the order of their requests. A limited number of them may wait. Only clients
  that can wait long may have one in the queue; others are refused while another client's deployment is pending.
* The controller's own deployment, which deploys the deployed configuration again, never queues. It gives way to a
  client's, because what the client wants is newer. If that fails, the controller's own is due again.
* When a client disconnects, its waiting deployments are given up. So is the one under way, but only while it waits for
  missing instances.
* Anybody may have a deployment given up until it is about to be stored.
"""

from __future__ import annotations

from collections import deque

from zeekfleet.controller.deployment import Deployment, Step
from zeekfleet.controller.tracker import Tracker
from zeekfleet.errors import RequestFailedError

MAX_WAITING = 16
"""The most deployments that may wait for their turn."""


class Turns:
    """Decides whose turn it is.

    Attributes:
        current: the deployment that is being carried out.
    """

    def __init__(self) -> None:
        self.current: Tracker | None = None
        self._waiting: deque[Tracker] = deque()
        self._own_is_due = False
        self._own_is_due_after_failure = False

    def in_the_way(self, *, can_wait: bool) -> str:
        """The request id of the pending deployment because of which a new one would be refused now, or ``""``.

        Args:
            can_wait: whether the client of the new one waits as long as there is progress.
        """
        return "" if can_wait else self.pending

    @property
    def pending(self) -> str:
        """The request id of the first client's deployment that is under way or waits, or ``""``."""
        if self.current is not None and not self.current.deployment.is_own:
            return self.current.deployment.reqid
        return self._waiting[0].deployment.reqid if self._waiting else ""

    def submit(self, tracker: Tracker) -> Tracker | None:
        """Queue a client's deployment.

        Returns:
            The controller's own deployment, if that has to be given up for it.

        Raises:
            RequestFailedError: too many are waiting already.
        """
        if len(self._waiting) >= MAX_WAITING:
            error = f"too many deployments are waiting ({MAX_WAITING}); try again later"
            raise RequestFailedError(tracker.deployment.reqid, error)
        self._waiting.append(tracker)
        self._number()
        current = self.current
        if current is None or not current.deployment.is_own or current.deployment.step is Step.KEEPING:
            return None
        self._own_is_due_after_failure = True
        return current

    def want_own(self) -> None:
        """The controller wants to deploy again. If a client's deployment is pending, only if that one fails."""
        if self.pending:
            self._own_is_due_after_failure = True
        else:
            self._own_is_due = True

    def take_own(self) -> bool:
        """Whether the controller wants a deployment of its own. This clears the wish."""
        is_due, self._own_is_due = self._own_is_due, False
        return is_due

    def begin_next(self) -> Tracker | None:
        """Make the next waiting deployment of a client the current one and return it; None if none waits."""
        if not self._waiting:
            return None
        self.begin(self._waiting.popleft())
        return self.current

    def begin(self, tracker: Tracker) -> None:
        """Make this deployment the current one."""
        self.current = tracker
        self._number()

    def end(self, *, succeeded: bool) -> None:
        """The current deployment has ended."""
        if self.current is not None and not self.current.deployment.is_own:
            wanted = self._own_is_due or self._own_is_due_after_failure
            self._own_is_due, self._own_is_due_after_failure = wanted and not succeeded, False
        self.current = None
        self._number()

    def leave(self, tracker: Tracker) -> bool:
        """Remove a deployment from the queue. Returns whether it was waiting."""
        if tracker not in self._waiting:
            return False
        self._waiting.remove(tracker)
        self._number()
        return True

    def find(self, reqid: str) -> Tracker:
        """Find a deployment that can still be given up.

        Args:
            reqid: its request id; ``""`` for the first pending deployment.
        Raises:
            RequestFailedError: there is none, or it is too late to give it up.
        """
        present = [tracker for tracker in (self.current, *self._waiting) if tracker is not None]
        found = next((tracker for tracker in present if reqid in ("", tracker.deployment.reqid)), None)
        if found is None:
            raise RequestFailedError(
                reqid, f"no deployment {reqid} is under way" if reqid else "no deployment is under way"
            )
        if found.deployment.step in (Step.KEEPING, Step.DONE):
            raise RequestFailedError(reqid, f"deployment {found.deployment.reqid} is as good as done")
        return found

    def abandoned(self, client: int) -> list[tuple[Tracker, str]]:
        """The deployments to give up because the client with this connection has disconnected, each with the reason."""
        if not client:
            return []
        present = [tracker for tracker in (self.current, *self._waiting) if tracker is not None]
        return [
            (tracker, why)
            for tracker in present
            if tracker.deployment.client == client and (why := _why_abandoned(tracker.deployment))
        ]

    def _number(self) -> None:
        ahead = 1 if self.current is not None and not self.current.deployment.is_own else 0
        for place, tracker in enumerate(self._waiting, start=ahead):
            tracker.wait_behind(place)


def _why_abandoned(deployment: Deployment) -> str:
    """Why a deployment is given up after its client has disconnected; ``""`` if it goes on."""
    if deployment.step is Step.QUEUED:
        return "the client that asked for it is gone"
    if deployment.step is Step.MEETING and deployment.missing:
        return "the client that asked for it is gone, and instances are missing"
    return ""
