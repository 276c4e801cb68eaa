"""The agent's options."""

from __future__ import annotations

from pathlib import Path

import msgspec

from zeekfleet.agent.health import HealthSettings
from zeekfleet.model.types import Address
from zeekfleet.planning.deadlines import agent_deadline

GROUP_SHARE = 0.2
"""By default, a deployment waits at most this share of its deadline for one group before the next may start."""


class AgentOptions(msgspec.Struct, frozen=True):
    """The agent's options; times are in seconds.

    Attributes:
        name: the instance's name, which is also the agent's.
        state_directory: the tree's state directory.
        host: the address on which the agent listens.
        port: the port on which the agent listens.
        dials_controller: whether the agent dials the controller, or the controller dials the agent.
        request_timeout: the base of all deadlines.
        grace: how long a node may take to stop.
        health: when a node counts as unhealthy.
        group_wait: how long a deployment waits at most for one group of nodes before the next may start; 0 for a
            fifth of the deployment's deadline.
        keep_departed: how long the directory of a node that has left the configuration is kept; 0 for ever.
        start_barrier: whether launched nodes can be made to wait before they start working.
        controller_hold: how long a controller that is gone has to come back before another may take its place.
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
        """How long to wait at most for one group of nodes, if the deployment starts this many nodes in all."""
        return self.group_wait or agent_deadline(nodes, base=self.request_timeout) * GROUP_SHARE
