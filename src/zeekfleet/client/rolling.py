"""Restarting a cluster a few nodes at a time: pure planning, and the loop that goes on only while all is well.

The loop lives in the client on purpose: if it dies, or its connection does, the
restart stops where it is, with at most a batch of nodes on their way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from zeekfleet.client.results import Failure, NodesSeen, Restarted
from zeekfleet.model.enums import ClusterRole, State

ROLE_ORDER = (ClusterRole.LOGGER, ClusterRole.MANAGER, ClusterRole.PROXY, ClusterRole.WORKER)

RestartNodes = Callable[[frozenset[str]], Restarted]
"""Restarts these nodes and returns when that has been done."""

AllRunning = Callable[[frozenset[str]], frozenset[str]]
"""Waits until these nodes run, with a deadline; returns those that do not."""


def states_of(seen: NodesSeen) -> dict[str, tuple[ClusterRole, State]]:
    """The cluster's nodes with their roles and states."""
    return {
        status.node: (status.cluster_role, status.state)
        for statuses in seen.instances.values()
        for status in statuses
        if status.cluster_role is not ClusterRole.NONE
    }


def batches(
    nodes: Mapping[str, tuple[ClusterRole, State]], wanted: Iterable[str], max_unavailable: int
) -> Iterator[frozenset[str]]:
    """The wanted nodes (none: all), so many at a time at most, never two roles at a time, in start order."""
    names = set(wanted) or set(nodes)
    for role in ROLE_ORDER:
        group = sorted(name for name in names if name in nodes and nodes[name][0] is role)
        for start in range(0, len(group), max_unavailable):
            yield frozenset(group[start : start + max_unavailable])


def restart(
    nodes: Mapping[str, tuple[ClusterRole, State]],
    wanted: Sequence[str],
    max_unavailable: int,
    restart_nodes: RestartNodes,
    all_running: AllRunning,
) -> Restarted:
    """Restart batch after batch, each only when all nodes run; stop at the first that does not come back."""
    unknown = tuple(Failure("unknown cluster node", name) for name in sorted(set(wanted) - nodes.keys()))
    done: dict[str, bool] = {}
    down = {name for name, (_, state) in nodes.items() if state is not State.RUNNING} - set(wanted)
    if unknown or len(down) >= max_unavailable:
        already = tuple(Failure("not running, which leaves no room for a rolling restart", name) for name in down)
        return Restarted(done, unknown or already)
    for batch in batches(nodes, wanted, max_unavailable):
        outcome = restart_nodes(batch)
        done |= outcome.nodes
        if outcome.errors:
            return Restarted(done, outcome.errors)
        if missing := all_running(batch):
            done |= dict.fromkeys(missing, False)
            return Restarted(done, tuple(Failure("did not come back; stopped here", name) for name in sorted(missing)))
    return Restarted(done)
