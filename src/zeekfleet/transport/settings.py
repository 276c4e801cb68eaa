"""The limits and times of a bus and its connections; all finite (docs/protocol.md, section 2)."""

from __future__ import annotations

import msgspec

from zeekfleet.broker.session import SUBSCRIPTIONS_MAX

MEBIBYTE = 1024 * 1024


class TransportSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a bus allows its peers.

    Attributes:
        frame_bytes: the largest frame that is accepted; a larger one closes the connection with 1009.
        reader_frame_bytes: the same for clients that may not deploy: what they send is never large.
        queue_frames: the most frames that may wait for one peer to read; a peer with more is cut off.
        queue_bytes: the same in bytes; a single frame may always wait.
        unfinished_bytes: the most bytes of frames that have arrived in part, of all connections together. If there are
            more, the connection with the oldest one is cut. A single frame is always accepted.
        connections: the most upgraded connections of a listener; further ones are refused.
        connections_each: the most of these that one peer may have: one user of this host, or one address.
        handshakes: the most connections that have not been upgraded yet; if there are more, the oldest is closed.
        subscriptions: the most topic prefixes that a peer may subscribe to.
        inbox_events: if so many events wait for the reader, sockets are not read any more.
        inbox_bytes: the same, in bytes of the events' frames.
        inbox_each: if so many events of one peer wait, its socket is not read any more.
        handshake_timeout: seconds from the connection to the subscriptions.
        ping_interval: seconds between two pings.
        pong_timeout: seconds without a pong after which a connection is given up.
        close_timeout: seconds that closing a connection may take.
        backoff_first: the longest delay before the second attempt to connect, in seconds.
        backoff_cap: the longest delay between two attempts, in seconds.
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
    inbox_each: int = 4
    handshake_timeout: float = 10.0
    ping_interval: float = 5.0
    pong_timeout: float = 20.0
    close_timeout: float = 2.0
    backoff_first: float = 0.1
    backoff_cap: float = 5.0
