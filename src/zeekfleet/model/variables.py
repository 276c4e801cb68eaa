"""Environment variables by which our processes and nodes find each other and know what they are.

Settings have variables, too; those follow from the settings' names (``resolution``), and a
node's own from the keys of an INI file (``planning/node_settings.py``).
"""

from __future__ import annotations

TYPE_CHECKING = False  # as ``typing`` has it: a simulated node imports this module, and must start fast
if TYPE_CHECKING:
    from typing import Final

MANAGEMENT_NODE: Final = "ZEEK_MANAGEMENT_NODE"
"""In agents and controllers, which run below the stem like nodes: which of the two it is."""

CONTROLLER_PORT: Final = "ZEEK_CONTROLLER_PORT"
"""In a controller: the port for agents, which ``get-nodes`` shows. Zeek's own variable."""

AGENT_LINK: Final = "ZEEKFLEET_AGENT_LINK"
"""In a simulated node: where it dials its agent, ``unix:/path/agent.sock`` or ``HOST:PORT`` (``[v6]:PORT``)."""

WEBSOCKET_PORT: Final = "ZEEKFLEET_WEBSOCKET_PORT"
"""In a Zeek: the port of loopback where it listens for its agent."""

MAILBOX: Final = "ZEEKFLEET_MAILBOX"
"""In a Zeek that takes no WebSocket: the absolute path of its mailbox's directory."""

HUB_PORTS: Final = "ZEEKFLEET_HUB_PORTS"
"""In every node of a ZeroMQ cluster: the ports of its hub, ``XPUB,XSUB``."""

CURVE_FILE: Final = "ZEEKFLEET_CURVE_FILE"
"""In every node of a ZeroMQ cluster with encryption: the file with its keys."""

PCAP_FILE: Final = "ZEEKFLEET_PCAP_FILE"
"""In a worker: the trace that it reads instead of an interface. An operator may set it."""

NODE_FILE: Final = "ZEEKFLEET_NODE_FILE"
"""In a simulated node: the file with its configuration."""

NODE_CONFIG: Final = "ZEEKFLEET_NODE_CONFIG"
"""In every process below a stem: the file that says what it was launched with."""

LAUNCH: Final = "ZEEKFLEET_LAUNCH"
"""In every process below a stem, and so in all that it starts: state directory, node and launch."""

NOTIFY_SOCKET: Final = "NOTIFY_SOCKET"
"""Where a daemon says that it serves, as systemd has it (sd_notify(3))."""
