"""The limits and times of an endpoint; all finite (docs/protocol.md, section 2)."""

from __future__ import annotations

import msgspec

from zeekfleet.broker.session import SUBSCRIPTIONS_MAX

MEBIBYTE = 1024 * 1024


class TransportSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint allows its peers.

    Attributes:
        frame_bytes: the largest frame accepted; more closes the connection with 1009.
        queue_frames: frames that may wait for one peer to read; more cuts it off.
        queue_bytes: the same in bytes; one frame is always let through.
        connections: connections a listener accepts at a time.
        subscriptions: topic prefixes a peer may subscribe to.
        happenings: what may wait for the endpoint's reader before sockets are held back.
        happenings_bytes: the same, in bytes of the frames they came as.
        handshake_timeout: seconds from the connection to the subscriptions.
        ping_interval: seconds.
        pong_timeout: seconds without a pong until a connection is given up.
        close_timeout: seconds to take leave of a peer.
        backoff_first: the longest delay before the second attempt to connect, in seconds.
        backoff_cap: the longest delay of all, in seconds.
    """

    frame_bytes: int = 16 * MEBIBYTE
    queue_frames: int = 65536
    queue_bytes: int = 32 * MEBIBYTE
    connections: int = 4096
    subscriptions: int = SUBSCRIPTIONS_MAX
    happenings: int = 1024
    happenings_bytes: int = 64 * MEBIBYTE
    handshake_timeout: float = 10.0
    ping_interval: float = 5.0
    pong_timeout: float = 20.0
    close_timeout: float = 2.0
    backoff_first: float = 0.1
    backoff_cap: float = 5.0
