"""What came to Zeek after the oldest one that is supported, and what therefore cannot be done with older ones.

Versions are major, minor and patch number.
"""

from __future__ import annotations

from zeekfleet.model.supervisor import NodeConfig

ZeekVersion = tuple[int, int, int]

OLDEST: ZeekVersion = (7, 2, 0)
"""The first Zeek whose WebSocket server works with every cluster back end."""

LISTEN_ADDR: ZeekVersion = (7, 2, 2)
"""Before, a WebSocket server's address was a string in ``$listen_host``; since, that is deprecated."""

ZEROMQ_IPV6: ZeekVersion = (7, 2, 2)
"""Before, ZeroMQ sockets had IPv4 addresses only."""

ZEROMQ_QUEUE_LIMITS: ZeekVersion = (8, 0, 0)
"""Before, a full queue of events made the sender wait; since, there are limits above which events are dropped."""

WHOLE_BACKENDS: ZeekVersion = (8, 1, 0)
"""Before, Broker was the back end without being loaded, and a script beside ZeroMQ's own connected it."""

ZEROMQ_CURVE: ZeekVersion = (8, 2, 0)
"""Before, ZeroMQ sockets could not be encrypted; keys in the environment would be ignored without a word."""


def text_of(version: ZeekVersion) -> str:
    """Such as ``7.2.2``."""
    return ".".join(str(number) for number in version)


def lacks_for_zeromq(config: NodeConfig, version: ZeekVersion, *, encrypted: bool) -> str | None:
    """Why this Zeek cannot be a node of this cluster with ZeroMQ, None if it can.

    Args:
        config: the node's, with its cluster.
        version: of the Zeek.
        encrypted: whether the cluster's sockets have keys.
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
