"""Default addresses and ports (``docs/protocol.md``, section 3)."""

from __future__ import annotations

from typing import Final

LOOPBACK: Final = "127.0.0.1"
"""The address that is reachable from this host only."""

CLIENT_PORT: Final = 2149
"""Where the controller listens for clients."""

CONTROLLER_PORT: Final = 2150
"""Where the controller listens for agents."""

AGENT_PORT: Final = 2151
"""Where an agent listens for its controller, if the controller dials."""

SUPERVISOR_PORT: Final = 9999
"""Where a supervisor listens for its agent."""

XPUB_PORT: Final = 5555
XSUB_PORT: Final = 5556
"""The two ports of a ZeroMQ cluster's hub, which runs in the manager: it sends on the first, receives on the second."""
