"""What cluster nodes answer to the dispatches that zeekfleet adds to ``get_id_value``."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.model.types import Count, Record


class NetworkStatistics(Record, frozen=True):
    """``net_stats``: packets and bytes since the node's start.

    Attributes:
        received: packets that Zeek got.
        dropped: packets that the system reports as lost.
        link: packets on the wire, as far as the packet source can tell.
        bytes: what Zeek got, in bytes.
        filtered: packets that the source left out, if it tells.
    """

    zeek_name: ClassVar[str] = "Zeekfleet::NetworkStatistics"

    received: Count
    dropped: Count
    link: Count
    bytes: Count
    filtered: Count | None = None


class Peer(Record, frozen=True):
    """Another node of the cluster, as one node sees it; ``since`` is in seconds since the epoch."""

    zeek_name: ClassVar[str] = "Zeekfleet::Peer"

    node: str
    id: str
    since: float


class PeerStatistics(Record, frozen=True):
    """``peer_stats``: who is connected, sorted by name, and how many events the node has seen."""

    zeek_name: ClassVar[str] = "Zeekfleet::PeerStatistics"

    peers: tuple[Peer, ...]
    events_queued: Count
    events_dispatched: Count


class MissingPeers(Record, frozen=True):
    """``missing_peers``: the nodes that a node must be connected to and is not, sorted by name.

    A node must be connected to all managers, loggers and proxies, but for those of its own kind.
    """

    zeek_name: ClassVar[str] = "Zeekfleet::MissingPeers"

    missing: tuple[str, ...]


class OptionChange(Record, frozen=True):
    """``set_option``: the option's value before and now, as JSON text."""

    zeek_name: ClassVar[str] = "Zeekfleet::OptionChange"

    name: str
    before: str
    now: str


NET_STATS = "net_stats"
PEER_STATS = "peer_stats"
MISSING_PEERS = "missing_peers"
SET_OPTION = "set_option"
WHOLE_CLUSTER = "cluster"
"""The fourth word of ``set_option`` when all nodes are asked: the manager then tells nodes that come later, too."""

DATA: dict[str, type[Record]] = {
    NET_STATS: NetworkStatistics,
    PEER_STATS: PeerStatistics,
    MISSING_PEERS: MissingPeers,
    SET_OPTION: OptionChange,
}
"""The record that a successful result of an action has as its ``data``; other actions give a text."""
