"""Reads the keys of a cluster's ZeroMQ sockets from the agent's file, for a Zeek's environment."""

from __future__ import annotations

from pathlib import Path

import msgspec

from zeekfleet.errors import LaunchError
from zeekfleet.model.curve import CurveKeys
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.model.variables import CURVE_FILE

PREFIX = "ZEEK_CLUSTER_BACKEND_ZEROMQ_CURVE_"


def curve_variables(config: NodeConfig) -> dict[str, str]:
    """Zeek's variables with the keys; empty if the node has no key file, or if its configuration sets them.

    Raises:
        LaunchError: the file cannot be read.
    """
    file = config.env.get(CURVE_FILE)
    if not file or any(name.startswith(PREFIX) for name in config.env):
        return {}
    try:
        keys = msgspec.json.decode(Path(file).read_bytes(), type=CurveKeys)
    except (OSError, msgspec.MsgspecError) as error:
        raise LaunchError(config.name, f"the cluster's keys cannot be read from {file}: {error}") from None
    return {
        f"{PREFIX}SERVER_PUBLICKEY": keys.server_public,
        f"{PREFIX}SERVER_SECRETKEY": keys.server_secret,
        f"{PREFIX}CLIENT_PUBLICKEY": keys.client_public,
        f"{PREFIX}CLIENT_SECRETKEY": keys.client_secret,
    }
