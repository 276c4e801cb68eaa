"""What an agent needs to know of itself."""

from __future__ import annotations

from pathlib import Path

import msgspec

from zeekfleet.agent.health import HealthSettings
from zeekfleet.model.types import Address
from zeekfleet.planning.deadlines import agent_deadline

GROUP_SHARE = 0.2
"""How much of a deployment's deadline it waits, at most, for one group of nodes before the next may begin."""


class AgentOptions(msgspec.Struct, frozen=True):
    """What an agent needs to know of itself.

    Attributes:
        name: its instance's name.
        state_directory: of the whole tree.
        host: the address it listens on.
        port: the port it listens on.
        dials_controller: whether it connects to the controller, or waits for that to connect.
        request_timeout: base of all deadlines, in seconds.
        grace: seconds that a node may take to stop.
        health: what is asked of nodes.
        group_wait: seconds that a deployment waits at most for one group of nodes before the next may begin; 0: a
            fifth of what the whole deployment may take.
        keep_departed: seconds that the directory of a node is kept that has left the configuration; 0: for ever.
        start_barrier: whether nodes can be launched and held until then.
        controller_hold: seconds that a controller which is gone has to come back, before another may take its place.
    """

    name: str
    state_directory: Path
    host: Address
    port: int
    dials_controller: bool
    request_timeout: float = 5.0
    grace: float = 10.0
    health: HealthSettings = HealthSettings()
    group_wait: float = 0.0
    keep_departed: float = 0.0
    start_barrier: bool = False
    controller_hold: float = 30.0

    def time_for_a_group(self, nodes: int) -> float:
        """The seconds that a group is waited for at most, where so many nodes are started."""
        return self.group_wait or agent_deadline(nodes, base=self.request_timeout) * GROUP_SHARE
