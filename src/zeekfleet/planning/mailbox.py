"""Files by which an agent reaches a node that its one WebSocket may not reach.

A logger takes no WebSocket client: with ZeroMQ each client's own back end claims
the port that logs arrive on. Other nodes could pass things on, but an instance
made of loggers only has none. With Broker nothing is passed on, and workers are
no peers of each other: only the manager hears from all. The agent replaces
``requests``, the node puts each answer in a file of its own
(``node/scripts/zeekfleet-mailbox.zeek``).
"""

from __future__ import annotations

from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.planning.layout import Backend, in_cluster, may_open_websocket

MAILBOX_DIRECTORY = "mailbox"
"""Its name in the node's own directory."""

REQUESTS_FILE = "requests"
"""What the agent wants: one JSON object a line, with ``reqid`` and ``action``."""

ANSWER_SUFFIX = ".json"
"""How the names of finished answers end."""


def needs_mailbox(config: NodeConfig, backend: Backend) -> bool:
    """Whether the node is reached in this way."""
    if not in_cluster(config):
        return False
    if not may_open_websocket(config, backend):
        return True
    return backend is Backend.BROKER and config.cluster[config.name].role is not ClusterRole.MANAGER
