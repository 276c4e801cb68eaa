"""Where a node lives on its host, and what it is launched with beside its own configuration."""

from __future__ import annotations

from pathlib import Path

import msgspec

from zeekfleet.model.launch import LaunchContext
from zeekfleet.model.names import NODES, directory_name
from zeekfleet.model.supervisor import NodeConfig


class Places(msgspec.Struct, frozen=True):
    """Absolute paths of one node."""

    directory: Path
    stdout_file: Path
    stderr_file: Path


class HostContext(msgspec.Struct, frozen=True):
    """What is the same for all nodes of a host: the supervisor launches with it, the agent checks with it.

    Attributes:
        state: the tree's state directory, absolute.
        spool: its spool directory, absolute.
        bare_mode: whether nodes run in bare mode that do not say so themselves.
        environment: what every node starts from.
    """

    state: Path
    spool: Path
    bare_mode: bool
    environment: dict[str, str]

    def places(self, config: NodeConfig) -> Places:
        """Where a node lives: what its configuration says, else ``<state>/nodes/<name>``, ``stdout``, ``stderr``.

        A relative directory is relative to this process's own, a relative file to the node's directory.
        A name that is no plain file name is quoted, so that no node lives outside ``nodes``.
        """
        directory = Path(config.directory or self.state / NODES / directory_name(config.name)).absolute()
        return Places(
            directory=directory,
            stdout_file=directory / (config.stdout_file or "stdout"),
            stderr_file=directory / (config.stderr_file or "stderr"),
        )

    def launch_context(self, config: NodeConfig) -> LaunchContext:
        """What an engine is told of the node's host."""
        places = self.places(config)
        return LaunchContext(
            directory=str(places.directory),
            stdout_file=str(places.stdout_file),
            stderr_file=str(places.stderr_file),
            state_directory=str(self.state),
            spool_directory=str(self.spool),
            bare_mode=self.bare_mode if config.bare_mode is None else config.bare_mode,
            environment=self.environment,
        )
