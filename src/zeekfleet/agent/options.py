"""What an agent needs to know of itself."""

from __future__ import annotations

from pathlib import Path

import msgspec

from zeekfleet.agent.health import HealthSettings
from zeekfleet.model.types import Address


class AgentOptions(msgspec.Struct, frozen=True):
    """What an agent needs to know of itself.

    Attributes:
        name: its instance's name.
        state_directory: of the whole tree.
        host: the address it listens on.
        port: the port it listens on.
        controller: host and port that it dials, or None to be dialled.
        request_timeout: base of all deadlines, in seconds.
        grace: seconds that a node may take to stop.
        health: what is asked of nodes.
        group_wait: seconds that a deployment waits at most for one group of nodes before it starts the next.
    """

    name: str
    state_directory: Path
    host: Address
    port: int
    controller: tuple[str, int] | None
    request_timeout: float = 5.0
    grace: float = 10.0
    health: HealthSettings = HealthSettings()
    group_wait: float = 1.0
