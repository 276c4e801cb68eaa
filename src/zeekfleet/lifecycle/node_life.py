"""One node's life as its agent sees it: the state it is in, and whether its launch succeeds. Pure.

News of one process comes from two sides: the supervisor tells of processes (started, ended, refused), the node itself
says hello. They use different connections, so that either may overtake the other. A deployment waits until the
outcome of each launch is known: the node said hello, or it is known not to come up (``failed``), because

* the supervisor could not create it (``refusal``),
* its process ended ``EARLY_EXITS_TO_FAIL`` times before a hello,
* its process ended and is not started again (``is_over``),
* its present process does not respond (``is_unresponsive``), or
* ``SILENT_STARTS_TO_FAIL`` processes in a row were ended because they did not say hello (``keeps_silent``).

A hello, or another launch on request, clears all of these.
"""

from __future__ import annotations

from typing import NamedTuple

from zeekfleet.lifecycle.transitions import Cause, after
from zeekfleet.model.enums import State

EARLY_EXITS_TO_FAIL = 2
"""A node whose process ended this often before a hello has failed, as far as a deployment is concerned.

A single early exit may be an accident, such as a port that the predecessor has not released yet.
"""

SILENT_STARTS_TO_FAIL = 3
"""A node stays FAILED until it says hello once this many processes in a row have been ended for not saying it."""

SLOW = 10
"""How many times longer a node that keeps silent may take to say hello."""


class Move(NamedTuple):
    """A change of state."""

    old: State
    new: State


Moves = tuple[Move, ...]
"""What an event changed, in this order; empty if it left the state as it was."""


class NodeLife:
    """One node; each method takes note of one event. Times are seconds on one monotonic clock.

    Attributes:
        state: the state of the node in the protocol's sense.
        pid: its process; None while it has none, or the supervisor has not told it yet.
        started_at: when its process was started, or was last given another chance to say hello.
        was_found: its process is older than our knowledge of it: it ran before we (re)connected to the supervisor.
        predecessor_stops: it was launched while a process of it ran. That one is being stopped, and what is still
            heard of it (a hello, its end) says nothing about the launch.
        refusal: why the supervisor could not create it.
        last_end: how its last process ended by itself, or why there was none, as part of a sentence.
        is_over: its last process ended by itself, and the supervisor does not start it again.
        early_exits: how often its process ended before a hello.
        silent_starts: how many processes in a row were ended because they did not say hello.
        is_unresponsive: its present process was found not to respond.
    """

    def __init__(self) -> None:
        self.state = State.UNKNOWN
        self.pid: int | None = None
        self.started_at = 0.0
        self.was_found = False
        self.predecessor_stops = False
        self.refusal: str | None = None
        self.last_end = ""
        self.is_over = False
        self.early_exits = 0
        self.silent_starts = 0
        self.is_unresponsive = False
        self._hello_came_first = False

    # --- the outcome of its launch

    @property
    def failed(self) -> bool:
        """Whether it is known not to come up."""
        return (
            self.refusal is not None
            or self.is_over
            or self.is_unresponsive
            or self.keeps_silent
            or self.early_exits >= EARLY_EXITS_TO_FAIL
        )

    @property
    def keeps_silent(self) -> bool:
        """Whether so many of its processes have not said hello that the next one is not expected to, either."""
        return self.silent_starts >= SILENT_STARTS_TO_FAIL

    @property
    def is_settled(self) -> bool:
        """Whether the outcome of its launch is known."""
        return self.state is State.RUNNING or self.failed

    @property
    def awaits_hello(self) -> bool:
        """Whether its process runs, and a hello is all that is missing."""
        return self.pid is not None and (
            self.state is State.PENDING or (self.keeps_silent and self.state is State.FAILED)
        )

    @property
    def next_process_is_successor(self) -> bool:
        """Whether a process that starts now comes after one that has ended or is being stopped."""
        return self.predecessor_stops or self.state in (State.CRASHED, State.FAILED)

    def hello_due(self, limit: float) -> float:
        """By when it must have said hello.

        Args:
            limit: seconds that a start may take.
        """
        return self.started_at + (limit * SLOW if self.keeps_silent else limit)

    # --- what we do

    def launched(self) -> Moves:
        """It is about to be started on request, or stopped and started: what happened before counts no more."""
        self.predecessor_stops = self.pid is not None
        self.pid, self.refusal = None, None
        self.last_end, self.is_over = "", False
        self._clear_failures()
        return self._move(Cause.LAUNCHED)

    def removed(self) -> Moves:
        """It is no longer part of the configuration, and is stopped."""
        return self._move(Cause.STOPPED)

    # --- what the supervisor tells

    def refused(self, problem: str) -> Moves:
        """The supervisor could not create it."""
        self.refusal = problem
        return self._move(Cause.GIVEN_UP)

    def started(self, pid: int, now: float) -> Moves:
        """It has a process. The same process told twice changes nothing."""
        if self.pid == pid:
            return ()
        self.pid, self.started_at = pid, now
        self.was_found, self.predecessor_stops = False, False
        self.refusal, self.is_over, self.is_unresponsive = None, False, False
        moves = self._move(Cause.GIVEN_UP if self.keeps_silent else Cause.LAUNCHED)
        return moves + self.said_hello() if self._hello_came_first else moves

    def found(self, pid: int, now: float) -> Moves:
        """The supervisor has this process of it, whatever was told or not told before."""
        moves: Moves = ()
        if self.pid == pid and self.refusal is not None:
            # The supervisor's answer to our order was lost, and the refusal was our own guess.
            self.refusal = None
            moves = self._move(Cause.LAUNCHED)
        moves += self.started(pid, now)
        self.was_found = True
        return moves

    def exited(self) -> Moves:
        """Its process ended."""
        if self.predecessor_stops:
            return ()  # this was the end that we asked for
        if self.state is not State.RUNNING:
            self.early_exits += 1
        self.pid, self._hello_came_first = None, False
        return self._move(Cause.ENDED, Cause.GIVEN_UP) if self.failed else self._move(Cause.ENDED)

    def ended(self, reason: str, is_over: bool) -> None:
        """How its process ended by itself, or why there was none.

        Args:
            reason: part of a sentence.
            is_over: it is not started again.
        """
        self.last_end, self.is_over = reason, is_over

    def lost(self) -> Moves:
        """The supervisor is out of reach: nobody knows whether it runs."""
        self.pid = None
        return self._move(Cause.LOST)

    # --- what the node tells, or does not

    def said_hello(self) -> Moves:
        """It can be talked to."""
        if self.pid is None:
            # The supervisor has not told the process yet. While a predecessor is being stopped, the hello may be
            # that one's; then the agent asks the new process for another once it is there.
            self._hello_came_first = not self.predecessor_stops
            return ()
        self._clear_failures()
        return self._move(Cause.HELLO)

    def does_not_respond(self) -> Moves:
        """Its process is there and does not respond, or is started again and again in vain."""
        self.is_unresponsive = True
        return self._move(Cause.GIVEN_UP)

    def kept_silent(self, now: float) -> Moves:
        """Its process has not said hello in time. It is given the same time once more, in case nobody ends it."""
        self.silent_starts += 1
        self.started_at = now
        return self.does_not_respond()

    def _clear_failures(self) -> None:
        self.early_exits, self.silent_starts = 0, 0
        self.is_unresponsive, self._hello_came_first = False, False

    def _move(self, *causes: Cause) -> Moves:
        moves = []
        for cause in causes:
            new = after(self.state, cause)
            if new is not None and new is not self.state:
                moves.append(Move(self.state, new))
                self.state = new
        return tuple(moves)
