"""The topics of the protocol (docs/protocol.md, section 3)."""

from __future__ import annotations

CONTROLLER = "zeek/management/controller"
AGENT_PREFIX = "zeek/management/agent"
SECRETS_PREFIX = "zeekfleet/secrets"
NODE = "zeek/management/node"
NODE_EXITS = "zeek/management/supervisor"
SUPERVISOR = "zeek/supervisor"
NODE_STATUS = "zeek/supervisor/node_status"
DEPLOYMENTS = "zeekfleet/deployments"
"""Where the controller tells how deployments get on (``events.deployments``)."""


def agent(instance: str) -> str:
    """The topic that the controller and one agent share."""
    return f"{AGENT_PREFIX}/{instance}"


def secrets(instance: str) -> str:
    """Where the controller tells one agent what clients must not hear."""
    return f"{SECRETS_PREFIX}/{instance}"


def supervisor_response(name: str, reqid: str) -> str:
    """Where the Supervisor answers, such as ``zeek/supervisor/create_response/<reqid>``."""
    return f"{SUPERVISOR}/{name}_response/{reqid}"
