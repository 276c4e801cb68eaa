"""The features that Zeek has gained since the oldest supported version, each with its first version.

A version is major, minor and patch number.
"""

from __future__ import annotations

from zeekfleet.model.supervisor import NodeConfig

ZeekVersion = tuple[int, int, int]

OLDEST: ZeekVersion = (7, 2, 0)
"""The first Zeek whose WebSocket server works with every cluster back end."""

LISTEN_ADDR: ZeekVersion = (7, 2, 2)
"""``$listen_addr`` is the address of a WebSocket server. Older versions have a string, ``$listen_host``."""

ZEROMQ_IPV6: ZeekVersion = (7, 2, 2)
"""ZeroMQ sockets can have IPv6 addresses."""

ZEROMQ_QUEUE_LIMITS: ZeekVersion = (8, 0, 0)
"""Queues of events have limits, above which events are dropped. In older versions a full queue made the sender wait."""

SINGLE_SCRIPT_BACKENDS: ZeekVersion = (8, 1, 0)
"""Each back end is loaded by one script. Older versions use Broker by default, and ``…/zeromq/connect`` for ZeroMQ."""

ZEROMQ_CURVE: ZeekVersion = (8, 2, 0)
"""ZeroMQ sockets can be encrypted. Older versions silently ignore keys in the environment."""


def text_of(version: ZeekVersion) -> str:
    """Such as ``7.2.2``."""
    return ".".join(str(number) for number in version)


def zeromq_problem(config: NodeConfig, version: ZeekVersion, *, encrypted: bool) -> str | None:
    """Why this version of Zeek cannot run the node with ZeroMQ; None if it can.

    Args:
        config: the node's configuration, with the cluster table.
        version: the version of Zeek.
        encrypted: whether the cluster's sockets are encrypted.
    """
    reason: tuple[str, ZeekVersion] | None = None
    if encrypted and version < ZEROMQ_CURVE:
        reason = ("cannot encrypt ZeroMQ between hosts", ZEROMQ_CURVE)
    elif version < ZEROMQ_IPV6 and any(endpoint.host.version == 6 for endpoint in config.cluster.values()):
        reason = ("has ZeroMQ with IPv4 addresses only", ZEROMQ_IPV6)
    if reason is None:
        return None
    problem, since = reason
    return f"Zeek {text_of(version)} {problem}: that takes {text_of(since)}, or the back end 'broker'"
