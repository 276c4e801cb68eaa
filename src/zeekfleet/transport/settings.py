"""The limits and times of a bus and its connections; all finite (docs/protocol.md, section 2)."""

from __future__ import annotations

import msgspec

from zeekfleet.broker.session import SUBSCRIPTIONS_MAX

MEBIBYTE = 1024 * 1024


class TransportSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a bus allows its peers.

    Attributes:
        frame_bytes: the largest frame accepted; more closes the connection with 1009.
        reader_frame_bytes: the same for clients that may not deploy: what they send is never large.
        queue_frames: frames that may wait for one peer to read; more cuts it off.
        queue_bytes: the same in bytes; one frame is always let through.
        unfinished_bytes: bytes of frames that have arrived in part, of all connections; more cuts off the oldest of
            these. One frame is always let through.
        connections: upgraded connections that a listener has at a time; further ones are refused.
        connections_each: how many of them one peer may have: one user of this host, or one address.
        handshakes: connections on their way to the upgrade; more has the oldest closed.
        subscriptions: topic prefixes a peer may subscribe to.
        inbox_events: events that may wait for the reader before sockets are not read any more.
        inbox_bytes: the same, in bytes of their frames.
        inbox_each: how many events of one peer may wait before its socket is not read any more.
        handshake_timeout: seconds from the connection to the subscriptions.
        ping_interval: seconds.
        pong_timeout: seconds without a pong until a connection is given up.
        close_timeout: seconds that closing a connection may take.
        backoff_first: the longest delay before the second attempt to connect, in seconds.
        backoff_cap: the longest delay of all, in seconds.
    """

    frame_bytes: int = 16 * MEBIBYTE
    reader_frame_bytes: int = MEBIBYTE
    queue_frames: int = 65536
    queue_bytes: int = 32 * MEBIBYTE
    unfinished_bytes: int = 64 * MEBIBYTE
    connections: int = 4096
    connections_each: int = 2048
    handshakes: int = 256
    subscriptions: int = SUBSCRIPTIONS_MAX
    inbox_events: int = 1024
    inbox_bytes: int = 64 * MEBIBYTE
    inbox_each: int = 2
    handshake_timeout: float = 10.0
    ping_interval: float = 5.0
    pong_timeout: float = 20.0
    close_timeout: float = 2.0
    backoff_first: float = 0.1
    backoff_cap: float = 5.0
