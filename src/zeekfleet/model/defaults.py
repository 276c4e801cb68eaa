"""Addresses with a meaning, and default ports (``docs/protocol.md``, section 3)."""

from __future__ import annotations

TYPE_CHECKING = False  # instead of importing ``typing``: a simulated node imports this module, and must start fast
if TYPE_CHECKING:
    from typing import Final

LOOPBACK: Final = "127.0.0.1"
LOOPBACK_V6: Final = "::1"
"""The addresses that are reachable from this host only."""

LOCALHOST: Final = "localhost"
"""The name of these addresses."""

THIS_HOST: Final = (LOCALHOST, LOOPBACK, LOOPBACK_V6)
"""What reaches this host and no other."""

EVERY_ADDRESS: Final = "0.0.0.0"  # noqa: S104 - nothing is bound here
EVERY_ADDRESS_V6: Final = "::"
"""To listen on all addresses of a host."""

CLIENT_PORT: Final = 2149
"""Where the controller listens for clients."""

CONTROLLER_PORT: Final = 2150
"""Where the controller listens for agents."""

AGENT_PORT: Final = 2151
"""Where an agent listens for its controller, if the controller dials."""

XPUB_PORT: Final = 5555
XSUB_PORT: Final = 5556
"""The two ports of a ZeroMQ cluster's hub, which runs in the manager: it sends on the first, receives on the second."""
