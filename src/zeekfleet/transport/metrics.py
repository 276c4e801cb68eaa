"""The counters of a bus."""

from __future__ import annotations

import msgspec


class TransportMetrics(msgspec.Struct):
    """Counters since the bus was made; ``pending_requests`` and ``waiting_events`` are gauges.

    Attributes:
        frames_in: text frames that arrived.
        frames_out: frames handed to connections.
        deliveries: events handed to the reader.
        decode_errors: frames that could not be understood.
        forbidden: frames refused by a listener's policy.
        errors_received: error frames from the peers we dialled.
        slow_peers: peers cut off because they did not read.
        silent_peers: peers cut off because they sent no pong.
        handshakes_failed: connections that ended before they were ready.
        handshakes_evicted: connections that were closed before their upgrade, because there were too many of these.
        connections_refused: connections over a listener's limit.
        strangers_refused: refused connections: those of users that are not served, those to listeners of users that
            are not trusted, and upgrades for foreign web pages.
        connection_attempts: attempts to connect to peers.
        requests_timed_out: requests without a response in time.
        frames_abandoned: connections that were cut because unfinished frames took too much memory and theirs was the
            oldest.
        frames_too_large: frames that were not sent because the peer would not accept frames of that size.
        foreign_responses: responses of peers that were not asked.
        pending_requests: requests that wait for their response.
        waiting_events: events that wait for the reader.
    """

    frames_in: int = 0
    frames_out: int = 0
    deliveries: int = 0
    decode_errors: int = 0
    forbidden: int = 0
    errors_received: int = 0
    slow_peers: int = 0
    silent_peers: int = 0
    handshakes_failed: int = 0
    handshakes_evicted: int = 0
    connections_refused: int = 0
    strangers_refused: int = 0
    connection_attempts: int = 0
    requests_timed_out: int = 0
    frames_abandoned: int = 0
    frames_too_large: int = 0
    foreign_responses: int = 0
    pending_requests: int = 0
    waiting_events: int = 0
