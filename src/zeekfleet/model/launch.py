"""What the stem needs to know to run one process. Nothing here is about Zeek: the process may be any program.

An engine (``node/``) turns a ``Supervisor::NodeConfig`` into a :class:`LaunchSpec`;
the supervisor hands it to the stem; the stem runs it and revives it.
"""

from __future__ import annotations

import typing
from typing import Final, Literal, Protocol

import msgspec

from zeekfleet.model.supervisor import NodeConfig

EngineName = Literal["auto", "zeek", "sim"]
"""What an operator can ask for."""

ENGINE_NAMES: tuple[str, ...] = typing.get_args(EngineName)

AUTO: Final = "auto"
"""A real Zeek if there is one, else a simulated node."""

GRACE_CEILING = 300.0
"""The default ``grace_ceiling`` of a node that writes logs, in seconds: see :class:`LaunchSpec`."""


class RevivalSettings(msgspec.Struct, frozen=True):
    """How a process that ended by itself is started again (all times in seconds).

    The first revival is immediate. The second waits ``initial_delay``, and each
    further one ``factor`` times as long, up to ``max_delay``; jitter is added. A
    process that runs for ``stable_after`` starts over with the first. More than
    ``loop_limit`` ends within ``loop_window`` are a crash loop: the node is FAILED,
    and started only every ``retry_delay`` (0: never).
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
"""For the agent and the controller. They are never given up, because without them nobody can manage the nodes."""


class Resources(msgspec.Struct, frozen=True, omit_defaults=True):
    """The limits of one process. Where a field is left out, the process has the stem's own limit.

    Attributes:
        cpus: the CPUs it may run on; ``LaunchSpec.cpu_affinity`` overrides it.
        nice: its priority, -20 to 19.
        memory: bytes; enforced by a control group if the stem may create one, else by ``RLIMIT_DATA``.
        open_files: the number of descriptors it may have (``RLIMIT_NOFILE``).
        core: the largest core file, in bytes (``RLIMIT_CORE``).
        cgroup: whether it gets a control group of its own even without a memory limit, if the stem may create one.
    """

    cpus: tuple[int, ...] = ()
    nice: int | None = None
    memory: int | None = None
    open_files: int | None = None
    core: int | None = None
    cgroup: bool = False


class Account(msgspec.Struct, frozen=True, omit_defaults=True):
    """A user that a process runs as.

    Attributes:
        uid: the user's id.
        gid: the id of its group.
        groups: the ids of further groups, sorted.
        capabilities: what it may do beside the user's rights, such as ``CAP_NET_RAW``, sorted.
    """

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    capabilities: tuple[str, ...] = ()


class LaunchSpec(msgspec.Struct, frozen=True):
    """One process to run.

    Attributes:
        name: the node's name, unique within a stem.
        argv: the program (absolute, or found on the spec's own PATH) and its arguments.
        env: the whole environment; nothing is inherited.
        directory: working directory, absolute; made if missing (mode 0700).
        stdout_file: absolute path of the file to which standard output is appended.
        stderr_file: the same for standard error.
        files: files to write before the start: path relative to ``directory``, and text content.
        cpu_affinity: the CPU to pin it to, if any.
        grace: seconds between SIGTERM and SIGKILL when it is stopped.
        grace_ceiling: for a process that may have much to write when it ends. Each sign of work (bytes written, CPU
            used) renews its grace, but it is killed this many seconds after SIGTERM. 0: its grace is not renewed.
        revival: how it is started again when it ends by itself.
        resources: its limits.
        user: the user that it runs as; None for the user of the stem. Only a stem of root can run it as another user.
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
    user: Account | None = None

    @property
    def longest_stop(self) -> float:
        """The most seconds between SIGTERM and SIGKILL."""
        return max(self.grace, self.grace_ceiling)

    @property
    def paths(self) -> tuple[str, str, str]:
        """The directory and the two files that the process uses; a running process is recognized by them."""
        return self.directory, self.stdout_file, self.stderr_file


class LaunchContext(msgspec.Struct, frozen=True):
    """What the supervisor adds to a node's own configuration.

    Attributes:
        directory: the node's working directory, absolute.
        stdout_file: absolute path for its standard output.
        stderr_file: absolute path for its standard error.
        state_directory: the tree's state directory.
        spool_directory: the tree's spool directory; rotated logs wait in its ``log-queue``.
        bare_mode: the node's own setting, else the supervisor's.
        environment: what every node's environment begins with (PATH, HOME, locale ...); its own ``env`` is added.
        user: whose rights a check of the node is done with; None: our own.
    """

    directory: str
    stdout_file: str
    stderr_file: str
    state_directory: str
    spool_directory: str
    bare_mode: bool
    environment: dict[str, str]
    user: Account | None = None


class Engine(Protocol):
    """What kind of process a node is: a real Zeek, a simulated node, or any program."""

    name: str

    def launch(self, config: NodeConfig, context: LaunchContext) -> LaunchSpec:
        """How to run a node.

        Raises:
            LaunchError: the node cannot be run as configured.
        """
        ...
