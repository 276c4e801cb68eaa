"""What a Supervisor in the test's own process knows and tells of its nodes."""

from __future__ import annotations

from support.waiting import News
from zeekfleet.model.supervision import NodeDetails
from zeekfleet.supervisor import NodeExit, Supervisor

DEADLINE = 30.0


class Ends(News):
    """The ends that a Supervisor tells."""

    def __init__(self, supervisor: Supervisor) -> None:
        super().__init__()
        self.all: list[NodeExit] = []
        supervisor.on_node_exit(self._note)

    def _note(self, exit_: NodeExit) -> None:
        self.all.append(exit_)
        self.notify()

    async def first(self) -> NodeExit:
        await self.until(lambda: self.all)
        return self.all[0]


def details(supervisor: Supervisor, name: str = "a") -> NodeDetails:
    return supervisor.details(name)[name]


def pid_of(supervisor: Supervisor, name: str = "a") -> int:
    pid = details(supervisor, name).pid
    assert pid is not None
    return pid
