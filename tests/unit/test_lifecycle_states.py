"""One vocabulary: the stem's phases, the supervisor's process states and the protocol's states, side by side."""

from __future__ import annotations

import pytest

from zeekfleet.lifecycle.states import SITUATIONS, Situation, process_state
from zeekfleet.model.enums import State
from zeekfleet.model.supervision import ProcessState
from zeekfleet.stem.node import Phase


def test_every_word_of_each_of_the_three_is_in_the_table() -> None:
    assert {row.phase for row in SITUATIONS} - {None} == set(Phase.__members__)
    assert {row.process for row in SITUATIONS} - {None} == set(ProcessState)
    assert {row.state for row in SITUATIONS} == set(State)


@pytest.mark.parametrize("row", [row for row in SITUATIONS if row.phase], ids=lambda row: str(row.meaning))
def test_the_supervisor_tells_what_the_table_says(row: Situation) -> None:
    failed = row.process is ProcessState.FAILED
    assert process_state(running=row.phase == Phase.RUNNING.name, failed=failed) is row.process


def test_a_running_process_has_not_failed_for_the_supervisor() -> None:
    assert process_state(running=True, failed=True) is ProcessState.RUNNING
