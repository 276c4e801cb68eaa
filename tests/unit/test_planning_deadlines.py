"""Deadlines nest, grow with the number of nodes, and count from the last progress."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekfleet.planning.deadlines import (
    CEILING,
    GRACE,
    MARGIN,
    ZEEK_CLIENT_ANSWER,
    Deadline,
    agent_deadline,
    agent_stop_deadline,
    controller_deadline,
    controller_stop_deadline,
)
from zeekfleet.settings import SupervisorSettings

ZEEK_CLIENT_TIMEOUT = 20.0
"""Seconds that zeek-client waits for a response."""


@pytest.mark.parametrize("nodes", [0, 1])
def test_with_few_nodes_they_are_the_protocols(nodes: int) -> None:
    assert agent_deadline(nodes) == 5.0
    assert controller_deadline(nodes) == 10.0


@given(st.integers(0, 10_000), st.floats(0.1, 300), st.floats(0.1, 300))
def test_the_agent_always_ends_before_the_controller(nodes: int, base: float, agent_base: float) -> None:
    agent = agent_deadline(nodes, base=agent_base)
    assert controller_deadline(nodes, base=base, agent_base=agent_base) >= agent + MARGIN


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_more_nodes_never_get_less_time_and_never_endless_time(one: int, other: int) -> None:
    fewer, more = sorted((one, other))
    assert agent_deadline(fewer) <= agent_deadline(more) <= 5.0 + CEILING
    assert controller_deadline(fewer) <= controller_deadline(more) <= 10.0 + CEILING


def test_the_grace_of_a_node_that_ignores_sigterm_is_within_all_deadlines() -> None:
    assert SupervisorSettings().grace == GRACE
    assert GRACE + 1 < agent_stop_deadline(1) < controller_stop_deadline(1) < ZEEK_CLIENT_ANSWER
    assert ZEEK_CLIENT_TIMEOUT - 1 > ZEEK_CLIENT_ANSWER


@given(st.integers(0, 10_000), st.floats(0.1, 300), st.floats(0.1, 300), st.floats(0, 1e6))
def test_stopping_never_shortens_a_deadline_and_keeps_their_order(
    nodes: int, base: float, agent_base: float, grace: float
) -> None:
    agent = agent_stop_deadline(nodes, base=agent_base, grace=grace)
    assert agent_deadline(nodes, base=agent_base) <= agent <= agent_base + CEILING
    assert controller_stop_deadline(nodes, base=base, agent_base=agent_base, grace=grace) >= agent + MARGIN


def test_progress_moves_a_deadline_and_its_ceiling_does_not_move() -> None:
    deadline = Deadline(100.0, 5.0, 12.0)
    assert deadline.at == 105.0
    assert deadline.progressed(104.0) == 109.0
    assert deadline.progressed(105.0, 2.0) == 107.0
    assert deadline.progressed(106.0) == 108.0
    assert deadline.progressed(111.0) == 112.0
    assert Deadline(0.0, 50.0, 10.0).progressed(20.0) == 50.0


@given(st.floats(0.1, 100), st.lists(st.floats(0, 50), max_size=50))
def test_however_much_progress_there_is_a_wait_ends_by_its_ceiling(patience: float, steps: list[float]) -> None:
    deadline, now = Deadline(0.0, patience, 200.0), 0.0
    for step in steps:
        now += step
        assert now <= deadline.progressed(min(now, 200.0)) or now > 200.0
        assert deadline.at <= max(200.0, patience)
