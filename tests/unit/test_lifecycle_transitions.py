from __future__ import annotations

import pytest

from zeekfleet.lifecycle.transitions import TRANSITIONS, Cause, after
from zeekfleet.model.enums import State


@pytest.mark.parametrize(
    ("state", "causes", "end"),
    [
        (State.PENDING, [Cause.HELLO], State.RUNNING),
        (State.PENDING, [Cause.HELLO, Cause.ENDED, Cause.LAUNCHED, Cause.HELLO], State.RUNNING),
        (State.RUNNING, [Cause.ENDED, Cause.GIVEN_UP, Cause.LAUNCHED], State.PENDING),
        (State.RUNNING, [Cause.LAUNCHED], State.PENDING),
        (State.RUNNING, [Cause.LOST, Cause.HELLO], State.RUNNING),
        (State.FAILED, [Cause.STOPPED], State.STOPPED),
    ],
)
def test_sequences_of_causes(state: State, causes: list[Cause], end: State) -> None:
    for cause in causes:
        moved = after(state, cause)
        assert moved is not None
        state = moved
    assert state is end


def test_causes_that_change_nothing() -> None:
    assert after(State.RUNNING, Cause.HELLO) is None
    assert after(State.CRASHED, Cause.ENDED) is None
    assert after(State.STOPPED, Cause.HELLO) is None
    assert after(State.UNKNOWN, Cause.LOST) is None


def test_every_transition_changes_the_state_and_every_state_can_be_reached_and_left() -> None:
    assert all(old is not new for (old, _), new in TRANSITIONS.items())
    assert set(TRANSITIONS.values()) == set(State)
    assert {old for old, _ in TRANSITIONS} == set(State)
