"""Restart nodes a few at a time: pure planning, and a loop that continues only while all nodes run.

The loop runs in the client on purpose: if the client or its connection dies, the
restart stops there, with at most one batch of nodes being restarted.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence

from zeekfleet.broker.events.agent import NotifyChange
from zeekfleet.broker.events.base import Event
from zeekfleet.client.results import Failure
from zeekfleet.client.verbs.get_nodes import GetNodesVerb, NodesSeen
from zeekfleet.client.verbs.restart import Restarted, RestartVerb
from zeekfleet.model.enums import ClusterRole, State

ROLLING_WAIT = 120.0
"""The most seconds until the nodes of a batch must run again."""

ROLE_ORDER = (ClusterRole.LOGGER, ClusterRole.MANAGER, ClusterRole.PROXY, ClusterRole.WORKER)

RestartNodes = Callable[[frozenset[str]], Awaitable[Restarted]]
"""Restarts these nodes and returns when that has been done."""

AllRunning = Callable[[frozenset[str]], Awaitable[frozenset[str]]]
"""Waits until these nodes run, with a deadline; returns those that do not."""


class RollingRestartVerb(RestartVerb, GetNodesVerb):
    """Restarts nodes a few at a time."""

    async def rolling_restart(
        self, nodes: Collection[str] = (), *, max_unavailable: int = 1, wait: float = ROLLING_WAIT, now: bool = False
    ) -> Restarted:
        """Restart nodes a few at a time; it stops at the first batch that does not come back.

        Args:
            nodes: names and groups; none: all.
            max_unavailable: how many may be down at a time.
            wait: seconds for each batch to run again.
            now: as for :meth:`deploy`.
        """
        names = await self.resolve(nodes)
        states: dict[str, State] = {}

        def note(_: str, event: Event) -> bool:
            if isinstance(event, NotifyChange):
                states[event.n.name] = event.new
            return False

        async def restart(batch: frozenset[str]) -> Restarted:
            states.update(dict.fromkeys(batch, State.PENDING))
            return await self.restart(batch, now=now)

        async def all_running(batch: frozenset[str]) -> frozenset[str]:
            deadline = time.monotonic() + wait
            while missing := frozenset(name for name in batch if states[name] is not State.RUNNING):
                if not await watching.next(deadline - time.monotonic()):
                    return missing
            return frozenset()

        with self.watching(note) as watching:
            seen = await self.get_nodes()
            deployed = {member.name: member.instance for member in await self.deployed_nodes()}
            return await restart_in_batches(seen, sorted(names), max_unavailable, restart, all_running, deployed)


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
    """The wanted nodes in batches: at most ``max_unavailable`` nodes each, all of one role, in start order.

    If ``wanted`` is empty, all nodes.
    """
    names = set(wanted) or set(nodes)
    for role in ROLE_ORDER:
        group = sorted(name for name in names if name in nodes and nodes[name][0] is role)
        for start in range(0, len(group), max_unavailable):
            yield frozenset(group[start : start + max_unavailable])


async def restart_in_batches(
    seen: NodesSeen,
    wanted: Sequence[str],
    max_unavailable: int,
    restart_nodes: RestartNodes,
    all_running: AllRunning,
    deployed: Mapping[str, str] | None = None,
) -> Restarted:
    """Restart batch after batch, each only when all nodes run. Stops at the first node that does not come back.

    Args:
        seen: the cluster's nodes. If an instance has not answered, nothing is restarted: nodes may be down there.
        wanted: names of nodes; none: all.
        max_unavailable: nodes that may be down at a time.
        restart_nodes: see :data:`RestartNodes`.
        all_running: see :data:`AllRunning`.
        deployed: the instance of each node that should run, by the node's name; nodes not in ``seen`` count as down.
    """
    nodes = states_of(seen)
    absent = {name: instance for name, instance in (deployed or {}).items() if name not in nodes}
    obstacles = _obstacles(seen, nodes, wanted, max_unavailable, absent)
    if obstacles:
        return Restarted({}, obstacles)
    done: dict[str, bool] = {}
    for batch in batches(nodes, wanted, max_unavailable):
        outcome = await restart_nodes(batch)
        done |= outcome.nodes
        missing = batch - {name for name, restarted in outcome.nodes.items() if restarted}
        if missing or outcome.errors:
            told = {failure.source for failure in outcome.errors} | outcome.reasons.keys()
            silent = tuple(Failure("was not restarted; stopped here", name) for name in sorted(missing - told))
            return Restarted(done | dict.fromkeys(missing, False), outcome.errors + silent, outcome.reasons)
        if missing := await all_running(batch):
            done |= dict.fromkeys(missing, False)
            return Restarted(done, tuple(Failure("did not come back; stopped here", name) for name in sorted(missing)))
    return Restarted(done)


def _obstacles(
    seen: NodesSeen,
    nodes: Mapping[str, tuple[ClusterRole, State]],
    wanted: Sequence[str],
    max_unavailable: int,
    absent: Mapping[str, str],
) -> tuple[Failure, ...]:
    """The reasons not to begin; none if the restart can begin."""
    if seen.errors or seen.malformed:
        return seen.errors + tuple(Failure(problem) for problem in seen.malformed)
    if unreached := absent.keys() & set(wanted or absent):
        return tuple(Failure(f"its instance '{absent[name]}' does not tell of it", name) for name in sorted(unreached))
    if unknown := set(wanted) - nodes.keys():
        return tuple(Failure("unknown cluster node", name) for name in sorted(unknown))
    if not nodes:
        return (Failure("there are no cluster nodes to restart"),)
    down = {name for name, (_, state) in nodes.items() if state is not State.RUNNING} - set(wanted) | absent.keys()
    if len(down) >= max_unavailable:
        why = "not running, which leaves no room for a rolling restart"
        return tuple(Failure(why, name) for name in sorted(down))
    return ()
