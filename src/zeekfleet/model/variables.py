"""The environment variables that our processes and nodes are launched with.

Two more families of variables are derived from names elsewhere: those of the daemons' settings
(``resolution``), and those of one node's settings (``planning/node_settings.py``).
"""

from __future__ import annotations

TYPE_CHECKING = False  # instead of importing ``typing``: a simulated node imports this module, and must start fast
if TYPE_CHECKING:
    from typing import Final

MANAGEMENT_NODE: Final = "ZEEK_MANAGEMENT_NODE"
"""In agents and controllers, which run below the stem like nodes: ``AGENT`` or ``CONTROLLER``."""

PORT_FOR_AGENTS: Final = "ZEEK_CONTROLLER_PORT"
"""In a controller: the port for agents, which ``get-nodes`` shows. Zeek's own variable."""

AGENT_LINK: Final = "ZEEKFLEET_AGENT_LINK"
"""In a simulated node: the address of its agent, ``unix:/path/agent.sock`` or ``HOST:PORT`` (``[v6]:PORT``)."""

WEBSOCKET_PORT: Final = "ZEEKFLEET_WEBSOCKET_PORT"
"""In a Zeek: the port on loopback where it listens for its agent."""

MAILBOX: Final = "ZEEKFLEET_MAILBOX"
"""In a Zeek that cannot accept WebSocket clients: the absolute path of its mailbox directory."""

HUB_PORTS: Final = "ZEEKFLEET_HUB_PORTS"
"""In every node of a ZeroMQ cluster: the two ports of the hub, ``XPUB,XSUB``."""

CURVE_FILE: Final = "ZEEKFLEET_CURVE_FILE"
"""In every node of an encrypted ZeroMQ cluster: the path of the file with the keys."""

PCAP_FILE: Final = "ZEEKFLEET_PCAP_FILE"
"""In a worker: the trace that it reads instead of an interface. An operator may set it."""

NODE_CONFIG: Final = "ZEEKFLEET_NODE_CONFIG"
"""In every process below a stem: the path of the file with the configuration that it was launched with."""

LAUNCH: Final = "ZEEKFLEET_LAUNCH"
"""In every process below a stem, and inherited by its children: the state directory, the node and the launch."""

JOIN: Final = "ZEEKFLEET_JOIN"
"""In a starting agent: the token by which it joins. No process that it starts inherits it."""

NOTIFY_SOCKET: Final = "NOTIFY_SOCKET"
"""In a daemon that systemd started: the socket on which it reports that it is ready (sd_notify(3))."""

STATE_DIRECTORY: Final = "STATE_DIRECTORY"
LOGS_DIRECTORY: Final = "LOGS_DIRECTORY"
"""In a daemon that systemd started: the directories that it made for the service (systemd.exec(5))."""
