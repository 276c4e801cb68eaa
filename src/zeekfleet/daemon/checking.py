"""What an agent checks nodes with: the same engine, places and environment that its supervisor launches them with."""

from __future__ import annotations

import os

from zeekfleet.agent.control import MANAGEMENT_MARK
from zeekfleet.daemon import readiness
from zeekfleet.model.launch import LaunchContext
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.node.checks import CheckedEngine, NodeChecker
from zeekfleet.settings import Settings

ROLE_VARIABLES = frozenset({MANAGEMENT_MARK, readiness.VARIABLE, "ZEEK_CONTROLLER_PORT", "ZEEKFLEET_LAUNCH"})
"""What the supervisor adds to an agent's environment, and no node has."""


def node_checker(settings: Settings, engine: str) -> NodeChecker:
    """A checker for this host.

    Args:
        settings: of the tree.
        engine: the name of the engine that the supervisor has chosen.
    """
    environment = {key: value for key, value in os.environ.items() if key not in ROLE_VARIABLES}

    def make_engine() -> CheckedEngine:
        from zeekfleet.daemon.engine_options import zeek_options  # noqa: PLC0415 - who never checks needs none of it
        from zeekfleet.node.engines import select  # noqa: PLC0415

        return select(engine, zeek_options(settings.supervisor))

    def make_context(config: NodeConfig) -> LaunchContext:
        directory = config.directory or f"{settings.common.state_dir}/nodes/{config.name}"
        return LaunchContext(
            directory=directory,
            stdout_file=f"{directory}/stdout",
            stderr_file=f"{directory}/stderr",
            state_directory=settings.common.state_dir,
            spool_directory=settings.common.spool_dir,
            bare_mode=settings.supervisor.bare_mode,
            environment=environment,
        )

    return NodeChecker(make_engine, make_context)
