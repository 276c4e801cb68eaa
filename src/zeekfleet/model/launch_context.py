"""The paths of a node on its host, and what it is launched with in addition to its own configuration."""

from __future__ import annotations

from pathlib import Path

import msgspec

from zeekfleet.model.launch import Account, LaunchContext
from zeekfleet.model.names import NODES, directory_name
from zeekfleet.model.supervisor import NodeConfig


class NodePaths(msgspec.Struct, frozen=True):
    """Absolute paths of one node."""

    directory: Path
    stdout_file: Path
    stderr_file: Path


class HostContext(msgspec.Struct, frozen=True):
    """What all nodes of a host have in common. The supervisor launches nodes with it, the agent checks nodes with it.

    Attributes:
        state: the tree's state directory, absolute.
        spool: the tree's spool directory, absolute.
        bare_mode: whether a node whose configuration does not say so runs in bare mode.
        environment: what every node's environment begins with.
        user: whose rights nodes are checked with; None: our own.
    """

    state: Path
    spool: Path
    bare_mode: bool
    environment: dict[str, str]
    user: Account | None = None

    def paths(self, config: NodeConfig) -> NodePaths:
        """A node's paths, from its configuration; by default ``<state>/nodes/<name>``, ``stdout`` and ``stderr``.

        A relative directory is relative to this process' working directory, a relative file to the node's directory.
        A name that is no plain file name is quoted, so that the default directory is always below ``nodes``.
        """
        directory = Path(config.directory or self.state / NODES / directory_name(config.name)).absolute()
        return NodePaths(
            directory=directory,
            stdout_file=directory / (config.stdout_file or "stdout"),
            stderr_file=directory / (config.stderr_file or "stderr"),
        )

    def launch_context(self, config: NodeConfig) -> LaunchContext:
        """What the node's engine must know about the host."""
        paths = self.paths(config)
        return LaunchContext(
            directory=str(paths.directory),
            stdout_file=str(paths.stdout_file),
            stderr_file=str(paths.stderr_file),
            state_directory=str(self.state),
            spool_directory=str(self.spool),
            bare_mode=self.bare_mode if config.bare_mode is None else config.bare_mode,
            environment=self.environment,
            user=self.user,
        )
