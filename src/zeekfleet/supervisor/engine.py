"""How a node's configuration becomes a process: see :class:`zeekfleet.model.launch.Engine`."""

from __future__ import annotations

from collections.abc import Sequence

from zeekfleet.model.launch import Engine, LaunchContext, LaunchSpec, Resources, RevivalSettings
from zeekfleet.model.supervisor import NodeConfig

__all__ = ["CommandEngine", "Engine", "LaunchContext", "LaunchSpec", "Resources", "RevivalSettings"]


class CommandEngine:
    """Runs the same program for every node. Scripts, interface and other settings of a Zeek are ignored.

    Args:
        argv: the program and its arguments.
        grace: seconds between SIGTERM and SIGKILL.
        grace_ceiling: the same, for a process that is still working, since some programs write a lot when they end; 0:
            such a process gets no longer than the grace.
        revival: when it is started again after it ended by itself.
        resources: limits of its process.
    """

    name = "command"

    def __init__(
        self,
        argv: Sequence[str],
        *,
        grace: float = 5.0,
        grace_ceiling: float = 0.0,
        revival: RevivalSettings | None = None,
        resources: Resources | None = None,
    ) -> None:
        self._argv = tuple(argv)
        self._grace = grace
        self._ceiling = grace_ceiling
        self._revival = revival or RevivalSettings()
        self._resources = resources or Resources()

    def launch(self, config: NodeConfig, context: LaunchContext) -> LaunchSpec:
        """The command, with the node's own environment, directory, files and CPU."""
        return LaunchSpec(
            name=config.name,
            argv=self._argv,
            env={**context.environment, **config.env},
            directory=context.directory,
            stdout_file=context.stdout_file,
            stderr_file=context.stderr_file,
            cpu_affinity=config.cpu_affinity,
            grace=self._grace,
            grace_ceiling=self._ceiling,
            revival=self._revival,
            resources=self._resources,
        )
