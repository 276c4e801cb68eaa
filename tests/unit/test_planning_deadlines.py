"""Deadlines nest and grow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekfleet.planning.deadlines import (
    CEILING,
    MARGIN,
    MAX_NODES_FOR_ZEEK_CLIENT,
    ZEEK_CLIENT_TIMEOUT,
    agent_deadline,
    controller_deadline,
)


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
