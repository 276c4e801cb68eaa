"""The answers of cluster nodes to the actions that zeekfleet adds to ``get_id_value``."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.model.types import Count, Record


class NetworkStatistics(Record, frozen=True):
    """``net_stats``: packets and bytes since the node started.

    Attributes:
        received: packets that Zeek received.
        dropped: packets that the system reports as lost.
        link: packets on the wire, as far as the packet source can tell.
        bytes: bytes that Zeek received.
        filtered: packets that the source filtered out; None if it does not count them.
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
    """``peer_stats``: the connected nodes, sorted by name, and how many events the node has queued and dispatched."""

    zeek_name: ClassVar[str] = "Zeekfleet::PeerStatistics"

    peers: tuple[Peer, ...]
    events_queued: Count
    events_dispatched: Count


class MissingPeers(Record, frozen=True):
    """``missing_peers``: the nodes that a node should be connected to and is not, sorted by name.

    A node should be connected to all managers, loggers and proxies, except those of its own role.
    """

    zeek_name: ClassVar[str] = "Zeekfleet::MissingPeers"

    missing: tuple[str, ...]


class OptionChange(Record, frozen=True):
    """``set_option``: the option's value before and after the change, as JSON text."""

    zeek_name: ClassVar[str] = "Zeekfleet::OptionChange"

    name: str
    before: str
    now: str


NET_STATS = "net_stats"
PEER_STATS = "peer_stats"
MISSING_PEERS = "missing_peers"
SET_OPTION = "set_option"
WHOLE_CLUSTER = "cluster"
"""The fourth word of ``set_option`` when all nodes are asked: the manager then also sets the option in later nodes."""

DATA: dict[str, type[Record]] = {
    NET_STATS: NetworkStatistics,
    PEER_STATS: PeerStatistics,
    MISSING_PEERS: MissingPeers,
    SET_OPTION: OptionChange,
}
"""By action, the record in the ``data`` of a successful result; the ``data`` of other actions is a text."""
