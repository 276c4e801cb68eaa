"""Files by which an agent reaches a node that takes no WebSocket client.

A logger is such a node: with ZeroMQ each client's own back end claims the port
that logs arrive on. Other nodes could pass things on, but an instance made of
loggers only has none. The agent replaces ``requests``, the node puts each answer
in a file of its own (``node/scripts/zeekfleet-mailbox.zeek``).
"""

from __future__ import annotations

from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.planning.layout import Backend, in_cluster, may_open_websocket

MAILBOX_VARIABLE = "ZEEKFLEET_MAILBOX"
"""The directory, for the node."""

MAILBOX_DIRECTORY = "mailbox"
"""Its name in the node's own directory."""

REQUESTS_FILE = "requests"
"""What the agent wants: one JSON object a line, with ``reqid`` and ``action``."""

ANSWER_SUFFIX = ".json"
"""How the names of finished answers end."""


def needs_mailbox(config: NodeConfig, backend: Backend) -> bool:
    """Whether the node is reached in this way."""
    return in_cluster(config) and not may_open_websocket(config, backend)
