"""Files by which an agent and a node exchange requests and answers if the agent's WebSocket may not reach the node.

The agent has a WebSocket to one node, and the cluster's pub/sub forwards its
requests to the others. That is not enough in two cases. With ZeroMQ a logger
cannot accept a WebSocket client (``layout.may_open_websocket``), and an instance
may consist of loggers only. With Broker nodes forward nothing, and workers are
not connected to each other; only the manager is connected to all.

The agent replaces the file ``requests``; the node writes each answer into a new
file (``node/scripts/zeekfleet-mailbox.zeek``).
"""

from __future__ import annotations

from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.planning.layout import Backend, in_cluster, may_open_websocket

MAILBOX_DIRECTORY = "mailbox"
"""The mailbox's name in the node's own directory."""

REQUESTS_FILE = "requests"
"""The agent's open requests: one JSON object on each line, with ``reqid`` and ``action``."""

ANSWER_SUFFIX = ".json"
"""The suffix of files with complete answers."""


def needs_mailbox(config: NodeConfig, backend: Backend) -> bool:
    """Whether the agent needs a mailbox to reach the node."""
    if not in_cluster(config):
        return False
    if not may_open_websocket(config, backend):
        return True
    return backend is Backend.BROKER and config.cluster[config.name].role is not ClusterRole.MANAGER
