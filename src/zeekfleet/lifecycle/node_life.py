"""One node's life as its agent sees it: its state, and whether its launch succeeds.

The agent hears of a process from two sides: the supervisor reports starts, ends and refusals, and the node says hello.
These come over different connections, so either may arrive first. A deployment waits until the outcome of each launch
is known: the node has said hello, or it has ``failed``, because

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
"""If a node's process ends this often before a hello, a deployment counts the node as failed.

A single early exit may be an accident, such as a port that the former process has not released yet.
"""

SILENT_STARTS_TO_FAIL = 3
"""If this many processes in a row are ended because they did not say hello, the node is FAILED until it says hello."""

SLOW_START_FACTOR = 10
"""A node that keeps silent may take this many times longer to say hello."""


class Move(NamedTuple):
    """A change of state."""

    old: State
    new: State


Moves = tuple[Move, ...]
"""The changes of state that an event caused, in order; empty if it caused none."""


class NodeLife:
    """One node. Each method records one event; times are seconds on one monotonic clock.

    Attributes:
        state: the node's state in the protocol.
        pid: its process id; None if it has no process, or the supervisor has not reported it yet.
        started_at: when its process was started, or was last given more time to say hello.
        was_found: whether its process already ran when we connected to the supervisor.
        predecessor_stops: whether it was launched while another process of it ran. That process is being stopped;
            its hello and its end say nothing about the launch.
        refusal: why the supervisor could not create it.
        last_end: how its last process ended by itself, or why it was not started, as part of a sentence.
        is_over: whether its last process ended by itself and will not be started again.
        early_exits: how often its process ended before a hello.
        silent_starts: how many processes in a row were ended because they did not say hello.
        is_unresponsive: whether its present process does not respond.
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
        """Whether its launch has failed."""
        return (
            self.refusal is not None
            or self.is_over
            or self.is_unresponsive
            or self.keeps_silent
            or self.early_exits >= EARLY_EXITS_TO_FAIL
        )

    @property
    def keeps_silent(self) -> bool:
        """Whether so many processes in a row did not say hello that the next one is not expected to, either."""
        return self.silent_starts >= SILENT_STARTS_TO_FAIL

    @property
    def is_settled(self) -> bool:
        """Whether the outcome of its launch is known."""
        return self.state is State.RUNNING or self.failed

    @property
    def awaits_hello(self) -> bool:
        """Whether its process runs and has not said hello yet."""
        return self.pid is not None and (
            self.state is State.PENDING or (self.keeps_silent and self.state is State.FAILED)
        )

    @property
    def next_process_is_successor(self) -> bool:
        """Whether the next process to start replaces one that has ended or is being stopped."""
        return self.predecessor_stops or self.state in (State.CRASHED, State.FAILED)

    def hello_due(self, limit: float) -> float:
        """The instant by which it must have said hello.

        Args:
            limit: how many seconds a start may take.
        """
        return self.started_at + (limit * SLOW_START_FACTOR if self.keeps_silent else limit)

    # --- what we do

    def launched(self) -> Moves:
        """It is about to be started, or restarted, on request. Former failures are forgotten."""
        self.predecessor_stops = self.pid is not None
        self.pid, self.refusal = None, None
        self.last_end, self.is_over = "", False
        self._clear_failures()
        return self._move(Cause.LAUNCHED)

    def removed(self) -> Moves:
        """It is no longer part of the configuration, and is being stopped."""
        return self._move(Cause.STOPPED)

    # --- what the supervisor reports

    def refused(self, problem: str) -> Moves:
        """The supervisor could not create it."""
        self.refusal = problem
        return self._move(Cause.GIVEN_UP)

    def started(self, pid: int, now: float) -> Moves:
        """A process of it was started. A repeated report of the same process changes nothing."""
        if self.pid == pid:
            return ()
        self.pid, self.started_at = pid, now
        self.was_found, self.predecessor_stops = False, False
        self.refusal, self.is_over, self.is_unresponsive = None, False, False
        moves = self._move(Cause.GIVEN_UP if self.keeps_silent else Cause.LAUNCHED)
        return moves + self.said_hello() if self._hello_came_first else moves

    def found(self, pid: int, now: float) -> Moves:
        """The supervisor's list has this process. Earlier reports about it may have been lost."""
        moves: Moves = ()
        if self.pid == pid and self.refusal is not None:
            # The supervisor's response to our request was lost, so we had assumed a refusal.
            self.refusal = None
            moves = self._move(Cause.LAUNCHED)
        moves += self.started(pid, now)
        self.was_found = True
        return moves

    def found_ended(self, has_failed: bool) -> Moves:
        """The supervisor has this node, but its last process ended before we (re)connected to the supervisor.

        Args:
            has_failed: it is in a crash loop, or cannot be started.
        """
        moves = self._move(Cause.ENDED)
        return moves + self.does_not_respond() if has_failed else moves

    def exited(self) -> Moves:
        """Its process ended."""
        if self.predecessor_stops:
            return ()  # the end of the former process, which we had asked for
        if self.state is not State.RUNNING:
            self.early_exits += 1
        self.pid, self._hello_came_first = None, False
        return self._move(Cause.ENDED, Cause.GIVEN_UP) if self.failed else self._move(Cause.ENDED)

    def ended(self, reason: str, is_over: bool) -> None:
        """Record how its process ended by itself, or why it was not started.

        Args:
            reason: part of a sentence.
            is_over: whether it will not be started again.
        """
        self.last_end, self.is_over = reason, is_over

    def lost(self) -> Moves:
        """The supervisor cannot be reached, so it is unknown whether the node runs."""
        self.pid = None
        return self._move(Cause.LOST)

    # --- what the node says, or fails to say

    def said_hello(self) -> Moves:
        """It said hello, so it answers requests."""
        if self.pid is None:
            # The supervisor has not reported the process yet. While a former process is being stopped, the hello may
            # come from that one; then the agent asks the new process for another hello.
            self._hello_came_first = not self.predecessor_stops
            return ()
        self._clear_failures()
        return self._move(Cause.HELLO)

    def does_not_respond(self) -> Moves:
        """Its process runs and does not respond, or repeated starts have not helped."""
        self.is_unresponsive = True
        return self._move(Cause.GIVEN_UP)

    def kept_silent(self, now: float) -> Moves:
        """Its process has not said hello in time. It gets the same time again, in case it cannot be ended."""
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
