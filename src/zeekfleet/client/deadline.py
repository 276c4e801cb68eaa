"""How long to wait for an answer: the time-out starts anew at each sign of progress. Pure."""

from __future__ import annotations

from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.deployments import DeploymentProgress

LONGEST_EXTENSION = 30
"""Agents' signs of progress extend the wait to at most this many times the time-out."""


class AnswerDeadline:
    """The instant until which an answer is awaited.

    Args:
        now: the time, by any clock that never goes back, in seconds.
        timeout: seconds to wait without any sign of progress.

    Attributes:
        at: the instant.
    """

    def __init__(self, now: float, timeout: float) -> None:
        self._timeout = timeout
        self._limit = now + LONGEST_EXTENSION * timeout
        self.at = now + timeout

    def progressed(self, event: Event, now: float) -> float:
        """Extend the wait after an event that is a sign of progress. Returns the new instant."""
        self.at = now + self._timeout
        if not isinstance(event, DeploymentProgress):  # the controller itself limits how long it reports progress
            self.at = min(self.at, self._limit)
        return self.at
