"""Addresses and ports that count where nobody gives others (``docs/protocol.md``, section 3)."""

from __future__ import annotations

from typing import Final

LOOPBACK: Final = "127.0.0.1"
"""The address that never leaves the host."""

CLIENT_PORT: Final = 2149
"""Where the controller listens for clients."""

CONTROLLER_PORT: Final = 2150
"""Where the controller listens for agents."""

AGENT_PORT: Final = 2151
"""Where an agent listens for its controller, if that is the one to dial."""

SUPERVISOR_PORT: Final = 9999
"""Where a supervisor listens for its agent."""

XPUB_PORT: Final = 5555
XSUB_PORT: Final = 5556
"""Where the hub of a ZeroMQ cluster, in the manager, sends and receives."""
