"""What a node needs of the table it is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from zeekfleet.stem.birth import Birth
from zeekfleet.stem.cgroups import Cgroup
from zeekfleet.stem.crew import Done
from zeekfleet.stem.protocol import Event
from zeekfleet.system.timers import Timers

if TYPE_CHECKING:
    from zeekfleet.stem.node import Node


class Surroundings(Protocol):
    """What a node needs of the table it is in."""

    timers: Timers

    def emit(self, event: Event) -> None: ...

    def start(self, birth: Birth, done: Done) -> None:
        """Have a process started; ``done`` is called before anything else happens to the node."""

    def watch(self, node: Node) -> None:
        """It has a new process."""

    def unwatch(self, node: Node) -> None:
        """Its process ended, or has been reaped."""

    def files_of(self, node: Node) -> dict[str, str]:
        """What must be in its directory; raises LaunchError."""

    def save(self, node: Node) -> None: ...

    def forget(self, node: Node) -> None: ...

    def kill_leftovers(self, node: Node) -> set[int]:
        """SIGKILL what its processes left; the process ids whose end will be told to ``node.leftover_ended``."""

    def group_of(self, node: Node) -> Cgroup | None:
        """Its control group, if it is to have one and can."""

    def group_found(self, pid: int) -> Cgroup | None:
        """The control group of ours that a node's running process is in."""
