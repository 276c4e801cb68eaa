"""Would these nodes come up on this host? Compares their needs with the host, and has Zeek read their scripts."""

from __future__ import annotations

import asyncio
import os
import select
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from zeekfleet.errors import LaunchError, ZeekfleetError
from zeekfleet.model.launch import LaunchContext
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.model.variables import AGENT_LINK, WEBSOCKET_PORT
from zeekfleet.node.engine import Engine
from zeekfleet.node.facts import gather
from zeekfleet.node.port_owners import listened_ports, owners
from zeekfleet.planning import node_settings
from zeekfleet.planning.checks import (
    HostFacts,
    Needs,
    OwnPorts,
    PortUse,
    Problem,
    host_problems,
    listening_ports,
    merged,
    unavailable,
)
from zeekfleet.planning.parsing import groups

LEAVING = 3.0
"""Seconds to wait for a node that has left the cluster to end and free its ports; a Zeek needs two."""

UNSEEN_VARIABLES = frozenset({AGENT_LINK, WEBSOCKET_PORT}) | node_settings.VARIABLES
"""Variables that differ between nodes and that no script reads."""


class NodeChecker:
    """Checks the nodes of one instance, on the instance's own host.

    Args:
        engine: the engine of the nodes.
        make_context: gives a node's launch context on this host.
        parallel: how many Zeeks read scripts at the same time; by default one for each CPU.
        capabilities: the only ones that nodes are given, if they run as another user; None: all that we have.
    """

    def __init__(
        self,
        engine: Engine,
        make_context: Callable[[NodeConfig], LaunchContext],
        parallel: int | None = None,
        capabilities: frozenset[str] | None = None,
    ) -> None:
        self._capabilities = capabilities
        self._engine = engine
        self._make_context = make_context
        self._parallel = asyncio.Semaphore(parallel or len(os.sched_getaffinity(0)))

    async def check(
        self, configs: Sequence[NodeConfig], present: Sequence[NodeConfig], pids: frozenset[int]
    ) -> list[Problem]:
        """The problems that are found, sorted.

        Args:
            configs: the nodes' launch configurations.
            present: the nodes that the cluster has on this host now, also those of other instances.
            pids: the processes of this instance's nodes.
        """
        engine = self._engine
        try:
            await asyncio.to_thread(engine.prepare)
        except ZeekfleetError as error:
            return [Problem((), str(error))]
        needs = [engine.needs(config) for config in configs]
        own = OwnPorts(pids, listening_ports([engine.needs(config) for config in present]))
        async with asyncio.TaskGroup() as tasks:
            host = tasks.create_task(self._host(engine, needs, own))
            parses = [tasks.create_task(self._parse(engine, group)) for group in groups(configs, UNSEEN_VARIABLES)]
        return merged([*host.result(), *(problem for parse in parses for problem in parse.result())])

    async def taken_ports(self, present: Sequence[NodeConfig], pids: frozenset[int]) -> list[int]:
        """The TCP ports on which other programs than the cluster's nodes listen, sorted.

        Args:
            present: the nodes that the cluster has on this host now, also those of other instances.
            pids: the processes of this instance's nodes.
        """
        own = OwnPorts(pids, listening_ports([self._engine.needs(config) for config in present]))
        return await asyncio.to_thread(_ports_of_others, own)

    async def _host(self, engine: Engine, needs: Sequence[Needs], own: OwnPorts) -> list[Problem]:
        facts = await asyncio.to_thread(gather, needs, own.pids, engine.program, self._capabilities)
        if leaving := _nodes_in_the_way(needs, facts, own):
            await asyncio.to_thread(_wait_for_ends, leaving)
            facts = await asyncio.to_thread(gather, needs, own.pids, engine.program, self._capabilities)
        return host_problems(needs, facts, own)

    async def _parse(self, engine: Engine, group: Sequence[NodeConfig]) -> list[Problem]:
        names = tuple(sorted(config.name for config in group))
        config = group[0]
        async with self._parallel:
            try:
                with tempfile.TemporaryDirectory(prefix="zeekfleet-check-") as scratch:
                    context = self._make_context(config)
                    if context.user is not None:
                        os.chown(scratch, context.user.uid, context.user.gid)
                    texts = await engine.check(config, context, Path(scratch))
            except OSError as error:
                texts = [f"its scripts cannot be checked: {error.strerror or error}"]
            except LaunchError as error:
                texts = [error.reason]
        return [Problem(names, text) for text in texts]


def _ports_of_others(own: OwnPorts) -> list[int]:
    ports = listened_ports()
    known = owners(ports, own.pids)
    uses = {port: PortUse("in use", owner.pid, owner.program, owner.is_node) for port, owner in known.items()}
    return sorted(port for port in ports if not own.covers(uses.get(port, PortUse("in use")), port))


def _nodes_in_the_way(needs: Sequence[Needs], facts: HostFacts, own: OwnPorts) -> list[int]:
    """The processes of cluster nodes, no longer part of this cluster, that use a needed port. They may be ending."""
    return [use.pid for use in unavailable(needs, facts, own) if use.is_node and use.pid is not None]


def _wait_for_ends(pids: Sequence[int], timeout: float = LEAVING) -> None:
    """Wait until all of these processes have ended, or ``timeout`` seconds are over."""
    deadline = time.monotonic() + timeout
    for pid in dict.fromkeys(pids):
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            waiter = select.poll()
            waiter.register(descriptor, select.POLLIN)
            waiter.poll(max(0.0, deadline - time.monotonic()) * 1000)
        finally:
            os.close(descriptor)
