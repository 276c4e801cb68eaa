"""The topics of the protocol (docs/protocol.md, section 3)."""

from __future__ import annotations

CONTROLLER = "zeek/management/controller"
AGENT_PREFIX = "zeek/management/agent"
SECRETS_PREFIX = "zeekfleet/secrets"
NODE = "zeek/management/node"
NODE_EXITS = "zeek/management/supervisor"
SUPERVISOR = "zeek/supervisor"
NODE_STATUS = "zeek/supervisor/node_status"
NOTIFICATIONS = "zeekfleet/notifications"
"""The controller publishes everything here that it records (``events.notifications``)."""

DEPLOYMENTS = "zeekfleet/deployments"
"""The controller publishes the progress of deployments here (``events.deployments``)."""

EVERYTHING = ("",)
"""The prefixes of all topics."""

NEWS = (DEPLOYMENTS, NOTIFICATIONS)
"""The topics on which the controller publishes for all clients."""


def agent(instance: str) -> str:
    """The topic on which the controller and one agent exchange events."""
    return f"{AGENT_PREFIX}/{instance}"


def secrets(instance: str) -> str:
    """The topic on which the controller sends secrets to one agent. Clients cannot subscribe to it."""
    return f"{SECRETS_PREFIX}/{instance}"


def supervisor_response(name: str, reqid: str) -> str:
    """The topic of a Supervisor's response, such as ``zeek/supervisor/create_response/<reqid>``."""
    return f"{SUPERVISOR}/{name}_response/{reqid}"
