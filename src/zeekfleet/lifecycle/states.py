"""What the stem, the supervisor and the agent call the state of a node: one table for all three.

Each of the three knows more than the one below it. The stem sees processes, and has a *phase* for each node
(``stem/node.py``). The supervisor also knows whether the node has failed, and has a *process state*
(:class:`~zeekfleet.model.supervision.ProcessState`). The agent also hears the node itself, and tells clients the
protocol's *state* (:class:`~zeekfleet.model.enums.State`).

In rows without phase and process state the supervisor does not have the node, or cannot be reached.
"""

from __future__ import annotations

from typing import NamedTuple

from zeekfleet.model.enums import State
from zeekfleet.model.supervision import ProcessState


class Situation(NamedTuple):
    """One row of the table.

    Attributes:
        meaning: the situation, for a person.
        phase: the name of the stem's phase.
        process: the supervisor's process state.
        state: the protocol's state, which the agent tells clients.
    """

    meaning: str
    phase: str | None
    process: ProcessState | None
    state: State


SITUATIONS = (
    Situation("its first process is being started", "STARTING", ProcessState.WAITING, State.PENDING),
    Situation("its process runs, and has not said hello yet", "RUNNING", ProcessState.RUNNING, State.PENDING),
    Situation("its process runs, and said hello", "RUNNING", ProcessState.RUNNING, State.RUNNING),
    Situation("its process runs, and does not respond", "RUNNING", ProcessState.RUNNING, State.FAILED),
    Situation("its process ended, and left others that are killed", "CLEARING", ProcessState.WAITING, State.CRASHED),
    Situation("its process ended, and is started again later", "WAITING", ProcessState.WAITING, State.CRASHED),
    Situation("it is in a crash loop, or cannot be started", "WAITING", ProcessState.FAILED, State.FAILED),
    Situation("it was stopped on request, and is no longer there", None, None, State.STOPPED),
    Situation("the agent cannot reach the supervisor", None, None, State.UNKNOWN),
)
"""All situations that last. A restart on request is like a start: the node is PENDING until the new hello."""


def process_state(running: bool, failed: bool) -> ProcessState:
    """The supervisor's process state.

    Args:
        running: whether the node's process runs (phase RUNNING).
        failed: whether the node is in a crash loop, or cannot be started.
    """
    if running:
        return ProcessState.RUNNING
    return ProcessState.FAILED if failed else ProcessState.WAITING
