"""What the agent and the verbs of ``zeekfleet up`` connect to."""

from __future__ import annotations

import pytest

from zeekfleet.cli.up_tree import joined
from zeekfleet.daemon.controller_address import parse_controller
from zeekfleet.resolution import resolve


@pytest.mark.parametrize(
    ("listen", "host"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("fd99::1", "fd99::1"), ("box", "box")],
)
def test_the_agent_dials_where_its_controller_listens(listen: str, host: str) -> None:
    """A listener has one address family: one on all IPv6 addresses cannot be reached at 127.0.0.1."""
    settings = joined(resolve(("common", "controller", "agent"), {"controller.listen": listen}, {})).settings
    assert parse_controller(settings.agent.controller) == (host, settings.controller.port)
