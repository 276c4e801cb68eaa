"""Deadlines nest and grow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekfleet.planning.deadlines import (
    CEILING,
    GRACE,
    MARGIN,
    MAX_NODES_FOR_ZEEK_CLIENT,
    ZEEK_CLIENT_TIMEOUT,
    agent_deadline,
    agent_stop_deadline,
    controller_deadline,
    controller_stop_deadline,
)
from zeekfleet.settings import SupervisorSettings


@pytest.mark.parametrize("nodes", [0, 1])
def test_without_much_to_do_they_are_the_protocols(nodes: int) -> None:
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


def test_zeek_client_hears_of_32_nodes_in_time() -> None:
    assert agent_deadline(32) > 2 * agent_deadline(1)
    assert controller_deadline(32) < ZEEK_CLIENT_TIMEOUT - 1
    assert controller_deadline(MAX_NODES_FOR_ZEEK_CLIENT) <= ZEEK_CLIENT_TIMEOUT - 1
    assert controller_deadline(MAX_NODES_FOR_ZEEK_CLIENT + 2) > ZEEK_CLIENT_TIMEOUT - 1


@pytest.mark.parametrize("nodes", [1, 8, MAX_NODES_FOR_ZEEK_CLIENT])
def test_the_grace_of_a_node_that_ignores_sigterm_is_within_all_deadlines(nodes: int) -> None:
    assert SupervisorSettings().grace == GRACE
    assert GRACE + 1 < agent_stop_deadline(nodes) < controller_stop_deadline(nodes) <= ZEEK_CLIENT_TIMEOUT - 1


@given(st.integers(0, 10_000), st.floats(0.1, 300), st.floats(0.1, 300), st.floats(0, 1e6))
def test_stopping_never_shortens_a_deadline_and_keeps_their_order(
    nodes: int, base: float, agent_base: float, grace: float
) -> None:
    agent = agent_stop_deadline(nodes, base=agent_base, grace=grace)
    assert agent_deadline(nodes, base=agent_base) <= agent <= agent_base + CEILING
    assert controller_stop_deadline(nodes, base=base, agent_base=agent_base, grace=grace) >= agent + MARGIN
