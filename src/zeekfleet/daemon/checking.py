"""Builds the checker of nodes: with the engine, directories and environment that the supervisor launches them with."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from zeekfleet.agent.plan import node_configs
from zeekfleet.daemon.engine_options import zeek_options
from zeekfleet.daemon.node_user import FOR_TRAFFIC, node_user
from zeekfleet.model import variables
from zeekfleet.model.launch import Account
from zeekfleet.model.launch_context import HostContext
from zeekfleet.model.management import Configuration
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.node.checks import NodeChecker
from zeekfleet.node.engine import Engine
from zeekfleet.node.engines import select
from zeekfleet.planning.checks import Problem
from zeekfleet.settings import Settings
from zeekfleet.store.disk_space import NO_SPACE, try_allocation
from zeekfleet.system.privileges import ROOT

ROLE_VARIABLES = frozenset(
    {variables.MANAGEMENT_NODE, variables.NOTIFY_SOCKET, variables.PORT_FOR_AGENTS, variables.LAUNCH}
)
"""Variables that the supervisor sets for an agent only, and that nodes do not have."""

NEEDED = 1024 * 1024
"""Bytes that must be free on the disks before a deployment."""


class RoomChecker:
    """Checks that there is room on the disks, and then lets another checker check the nodes.

    Without room, the files of a launch could not be written, and the other checker would give misleading reasons.

    Args:
        checker: the other checker.
        directories: where nodes are launched.
    """

    def __init__(self, checker: NodeChecker, directories: Iterable[Path]) -> None:
        self._checker = checker
        self._directories = tuple(dict.fromkeys(directories))

    async def check(
        self, configs: Sequence[NodeConfig], present: Sequence[NodeConfig], pids: frozenset[int]
    ) -> list[Problem]:
        """All problems, sorted; see :meth:`NodeChecker.check`."""
        problems = await asyncio.to_thread(self._room)
        return problems or await self._checker.check(configs, present, pids)

    async def taken_ports(self, present: Sequence[NodeConfig], pids: frozenset[int]) -> list[int]:
        """The same as :meth:`NodeChecker.taken_ports`."""
        return await self._checker.taken_ports(present, pids)

    def _room(self) -> list[Problem]:
        found = []
        for directory in self._directories:
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # somebody may have removed it
                try_allocation(directory, NEEDED)
            except OSError as error:
                full = f"no space left in directory {directory}"
                other = f"directory {directory} cannot be written: {error.strerror}"
                found.append(Problem((), full if error.errno in NO_SPACE else other))
        return found


def node_checker(settings: Settings, engine: Engine, user: Account | None = None) -> RoomChecker:
    """A checker for this host.

    Args:
        settings: of the tree.
        engine: the supervisor's engine.
        user: whom nodes run as, if not as we do.
    """
    places = (Path(settings.common.state_dir), Path(settings.common.spool_dir))
    return RoomChecker(_checker(settings, engine, user), places)


async def check_here(configuration: Configuration, instance: str, settings: Settings) -> list[Problem]:
    """Check an instance's nodes on this host without an agent and a controller; all problems, sorted.

    Ports that a controller would assign are not checked. Nothing is written outside of temporary directories.

    Args:
        configuration: as it is in the file.
        instance: the instance whose nodes are to run here.
        settings: the settings of an agent on this host.

    Raises:
        ConfigurationError: the engine cannot be used on this host.
    """
    configs = node_configs(configuration, instance, Path(settings.common.state_dir), {})
    own = settings.supervisor
    engine = await asyncio.to_thread(select, own.engine, zeek_options(own))
    user = node_user(own) if os.geteuid() == ROOT else None  # others can look with their own rights only
    return await _checker(settings, engine, user).check(tuple(configs.values()), (), frozenset())


def _checker(settings: Settings, engine: Engine, user: Account | None) -> NodeChecker:
    environment = {key: value for key, value in os.environ.items() if key not in ROLE_VARIABLES}
    common = settings.common
    state, spool, bare = Path(common.state_dir), Path(common.spool_dir), settings.supervisor.bare_mode
    host = HostContext(state, spool, bare, environment, user)
    return NodeChecker(engine, host.launch_context, capabilities=None if user is None else frozenset(FOR_TRAFFIC))
