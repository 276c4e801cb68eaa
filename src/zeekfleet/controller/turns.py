"""Which deployment comes next, and which one gives way to which; pure.

One deployment is carried out at a time. These are the rules:

* Clients' deployments are carried out in the order of their requests. A limited number of them may wait, and none of a
  client that cannot wait long: that is refused while another deployment of a client is pending.
* The controller's own deployment, of what is deployed already, never queues. It gives way to a client's, because what
  the client wants is newer, and is due again if that fails.
* When a client's connection ends, its deployments that wait are given up. So is the one under way, but only while it
  waits for instances that are missing.
* Anybody may have a deployment given up until it is about to be stored.
"""

from __future__ import annotations

from collections import deque

from zeekfleet.controller.deployment import Deployment, Step
from zeekfleet.controller.tracker import Tracker
from zeekfleet.errors import RequestFailedError

MAX_WAITING = 16
"""Deployments that may wait for their turn."""


class Turns:
    """Whose turn it is.

    Attributes:
        current: the deployment that is being carried out.
    """

    def __init__(self) -> None:
        self.current: Tracker | None = None
        self._waiting: deque[Tracker] = deque()
        self._own_is_due = False
        self._own_is_due_after_failure = False

    def in_the_way(self, *, can_wait: bool) -> str:
        """The request id of the deployment for which another client's is refused now, or ``""``.

        Args:
            can_wait: whether that client waits as long as there is progress.
        """
        return "" if can_wait else self.pending

    @property
    def pending(self) -> str:
        """The request id of the first client's deployment that is under way or waits, or ``""``."""
        if self.current is not None and not self.current.deployment.is_own:
            return self.current.deployment.reqid
        return self._waiting[0].deployment.reqid if self._waiting else ""

    def submit(self, tracker: Tracker) -> Tracker | None:
        """A client wants a deployment: it waits for its turn.

        Returns:
            The controller's own deployment, if that has to be given up for it.

        Raises:
            RequestFailedError: too many wait already.
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
        """The controller wants to deploy what is deployed once more; where a client's is pending, if that fails."""
        if self.pending:
            self._own_is_due_after_failure = True
        else:
            self._own_is_due = True

    def take_own(self) -> bool:
        """Whether the controller wants a deployment of its own; from now on it has been seen to."""
        is_due, self._own_is_due = self._own_is_due, False
        return is_due

    def begin_next(self) -> Tracker | None:
        """The client's deployment whose turn it is, which is the current one from now on; None if none waits."""
        if not self._waiting:
            return None
        self.begin(self._waiting.popleft())
        return self.current

    def begin(self, tracker: Tracker) -> None:
        """This deployment is carried out from now on."""
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
        """A deployment waits no longer, if it did: whether it did."""
        if tracker not in self._waiting:
            return False
        self._waiting.remove(tracker)
        self._number()
        return True

    def find(self, reqid: str) -> Tracker:
        """The deployment of this request id, or the first one if ``""``, which may be given up.

        Raises:
            RequestFailedError: there is none, or it is too late.
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
        """The deployments that end because the client with this connection is gone, each with the reason."""
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
    """Why a deployment ends whose client is gone, ``""`` if it goes on."""
    if deployment.step is Step.QUEUED:
        return "the client that asked for it is gone"
    if deployment.step is Step.MEETING and deployment.missing:
        return "the client that asked for it is gone, and instances are missing"
    return ""
