"""What the stem needs to know to run one process: no Zeek in it, any program will do.

An engine (``node/``) turns a ``Supervisor::NodeConfig`` into a :class:`LaunchSpec`;
the supervisor hands it to the stem; the stem runs it and revives it.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from zeekfleet.model.supervisor import NodeConfig

GRACE_CEILING = 300.0
"""Seconds that a process may take to end by default, if it writes logs: see :class:`LaunchSpec`."""


class RevivalSettings(msgspec.Struct, frozen=True):
    """How a process that ended by itself comes back (all times in seconds).

    The first revival is immediate, the following ones wait ``initial_delay``
    times ``factor`` to the power of the revivals so far, with jitter, up to
    ``max_delay``. ``stable_after`` of life clears the count. More than
    ``loop_limit`` ends within ``loop_window`` is a crash loop: the node is
    FAILED and tried again only every ``retry_delay`` (0: never).
    """

    enabled: bool = True
    initial_delay: float = 0.5
    factor: float = 2.0
    max_delay: float = 30.0
    jitter: float = 0.1
    stable_after: float = 30.0
    loop_limit: int = 5
    loop_window: float = 60.0
    retry_delay: float = 60.0


MANAGEMENT_REVIVAL = RevivalSettings(
    initial_delay=0.1, max_delay=2.0, stable_after=10.0, loop_limit=1_000_000, retry_delay=2.0
)
"""Of agent and controller: without them nobody can do anything about the nodes, so they are never given up."""


class Resources(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a process may use; left out: as much as the stem itself.

    Attributes:
        cpus: the CPUs it may run on; ``LaunchSpec.cpu_affinity`` goes before it.
        nice: its priority, -20 to 19.
        memory: bytes; by a control group where we may make one, else by ``RLIMIT_DATA``.
        open_files: how many descriptors it may have (``RLIMIT_NOFILE``).
        core: the largest core file, in bytes (``RLIMIT_CORE``).
        cgroup: give it a control group of its own, where we may make one, also without a memory limit.
    """

    cpus: tuple[int, ...] = ()
    nice: int | None = None
    memory: int | None = None
    open_files: int | None = None
    core: int | None = None
    cgroup: bool = False


class LaunchSpec(msgspec.Struct, frozen=True):
    """One process to run.

    Attributes:
        name: the node's name, unique within a stem.
        argv: the program (absolute, or found on the spec's own PATH) and its arguments.
        env: the whole environment; nothing is inherited beside it.
        directory: working directory, absolute; made if missing (mode 0700).
        stdout_file: absolute path that standard output is appended to.
        stderr_file: the same for standard error.
        files: what must be in ``directory`` before the start: relative path to text content.
        cpu_affinity: the CPU to pin to, if any.
        grace: seconds between SIGTERM and SIGKILL when it is stopped.
        grace_ceiling: the same for one that may have much to write when it ends: its grace begins anew with each sign
            of work (bytes written, CPU used), but so many seconds after SIGTERM it is killed. 0: its grace is all.
        revival: what happens when it ends by itself.
        resources: what it may use.
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str]
    directory: str
    stdout_file: str
    stderr_file: str
    files: dict[str, str] = msgspec.field(default_factory=dict)
    cpu_affinity: int | None = None
    grace: float = 5.0
    grace_ceiling: float = 0.0
    revival: RevivalSettings = RevivalSettings()
    resources: Resources = Resources()

    @property
    def longest_stop(self) -> float:
        """Seconds between SIGTERM and SIGKILL at most."""
        return max(self.grace, self.grace_ceiling)

    @property
    def places(self) -> tuple[str, str, str]:
        """Where the process works and writes, by which one that runs shows what it is."""
        return self.directory, self.stdout_file, self.stderr_file


class LaunchContext(msgspec.Struct, frozen=True):
    """What the supervisor adds to a node's own configuration.

    Attributes:
        directory: the node's working directory, absolute.
        stdout_file: absolute path for its standard output.
        stderr_file: absolute path for its standard error.
        state_directory: the tree's state directory.
        spool_directory: the tree's spool directory (rotated logs wait in its ``log-queue``).
        bare_mode: the node's own setting, else the supervisor's.
        environment: what every node starts from (PATH, HOME, locale ...), before its own ``env``.
    """

    directory: str
    stdout_file: str
    stderr_file: str
    state_directory: str
    spool_directory: str
    bare_mode: bool
    environment: dict[str, str]


class Engine(Protocol):
    """What kind of process a node is: a real Zeek, a simulated node, or any program."""

    name: str

    def launch(self, config: NodeConfig, context: LaunchContext) -> LaunchSpec:
        """How to run a node.

        Raises:
            LaunchError: the node cannot be run as configured.
        """
        ...
