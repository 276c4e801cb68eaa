"""One vocabulary for a node's state: what the stem, the supervisor and the agent call one and the same situation.

Three processes look at a node, and each knows more than the one below it. The stem sees processes, and has a *phase*
for each node (``stem/node.py``). The supervisor adds what the next start is going to be, a *process state*
(:class:`~zeekfleet.model.supervision.ProcessState`). The agent adds what the node itself says, and tells the
*state* of the protocol (:class:`~zeekfleet.model.enums.State`), which is what clients show.

A row whose phase and process state are None is about a node that nobody has, or nobody can ask about.
"""

from __future__ import annotations

from typing import NamedTuple

from zeekfleet.model.enums import State
from zeekfleet.model.supervision import ProcessState


class Situation(NamedTuple):
    """One row.

    Attributes:
        meaning: what is so, for a person.
        phase: the name of the stem's phase.
        process: the supervisor's word.
        state: the protocol's, as the agent tells it.
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
"""Every situation a node can be in for long. A restart on request counts as a start: PENDING until the new hello."""


def process_state(running: bool, failed: bool) -> ProcessState:
    """The supervisor's word for what the stem tells.

    Args:
        running: the node's process is there (phase RUNNING).
        failed: it is in a crash loop, or cannot be started.
    """
    if running:
        return ProcessState.RUNNING
    return ProcessState.FAILED if failed else ProcessState.WAITING
