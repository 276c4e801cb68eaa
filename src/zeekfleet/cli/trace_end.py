"""Stops a cluster that has read a trace. No node is stopped before it has received everything that others have sent.

A Zeek that is told to end drops messages that it has received but not processed. With Broker it also drops those that
its peers have not taken within three seconds. So the nodes are stopped one after the other. Each is stopped when it has
received everything from the nodes before it, and the nodes after it have received everything that it has sent so far.
The script ``zeekfleet-end.zeek`` makes the nodes send marks, and write down which marks they have received::

    all have received the worker's mark, and the marks that answer it ── worker stops
    the proxy has received the worker's end, and the others know that ── proxy stops
    the manager has received both ends, and the logger knows that ── manager stops
    the logger has all lines of all nodes ── the logger may stop

If a mark does not appear, it is awaited as long as the node that must write it still works, but no longer than a node
may take to stop: its grace without a sign of work, and its ceiling in all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from zeekfleet.broker import topics
from zeekfleet.broker.events.supervisor import DestroyRequest, StatusRequest
from zeekfleet.daemon import buses
from zeekfleet.daemon.access import access_control
from zeekfleet.errors import RequestTimeoutError, SupervisionError
from zeekfleet.lifecycle.stopping import Stop, Work
from zeekfleet.model.management import fresh_id
from zeekfleet.node.zeek.engine import management_script
from zeekfleet.settings import Settings, SupervisorSettings
from zeekfleet.system import procfs
from zeekfleet.system.files import read_regular
from zeekfleet.system.inotify import IN_CLOSE_WRITE, IN_MODIFY, Inotify
from zeekfleet.system.privileges import acting_as_owner
from zeekfleet.transport.bus import Bus, PeerAdded
from zeekfleet.waiting import Signal

SCRIPT = str(Path(management_script()).with_name("zeekfleet-end.zeek"))
"""The script that every node must load, after all other scripts."""

HEARD_FILE = ".heard"
"""The file in a node's directory with the marks that it has received; the script uses the same name."""

END_LOG = "zeekfleet-end.log"
"""The file in the logger's directory with marks: all log lines that were sent before one of them have arrived."""

MOST_MARKS = 2**20
"""The most bytes that are read from a file with marks; normally there are only a few marks."""

ANSWER = 60.0
"""Seconds that the supervisor, which runs in this process, may take to answer in addition to a node's own time."""


async def stop_in_turn(
    settings: Settings, directories: dict[str, Path], order: Iterable[str], logger: str
) -> list[str]:
    """Stop all nodes but the logger, each when it has received everything from those before it; wait for the logger.

    If something goes wrong, the other nodes are still stopped in order, since each may have much to send.

    Args:
        settings: the tree's settings. Its supervisor is asked to stop the nodes; grace and ceiling limit each wait.
        directories: the directories of all nodes, by name.
        order: the nodes in the order in which they stop.
        logger: the node that receives all log lines.

    Returns:
        The reasons why logs may be incomplete, a clause for each; empty if they are complete.

    Raises:
        SupervisionError: the supervisor does not answer.
    """
    order = tuple(order)
    problems: list[str] = []
    link = buses.supervisor_bus("trace", settings.common, access_control(settings.common))
    link.subscribe(topics.SUPERVISOR)
    async with link:
        await _connected(link)
        listeners = {
            name: _Listener(directories[name] / (END_LOG if name == logger else HEARD_FILE), process)
            for name, process in (await _processes(link, directories)).items()
        }
        for place, name in enumerate(order):
            before, others = order[:place], order[place + 1 :]
            lacking = {name: await listeners[name].until_heard(before, settings.supervisor)}
            mark = f"{name} after {before[-1]}" if before else f"{name} settled"
            for other in others:
                lacking[other] = await listeners[other].until_heard([mark], settings.supervisor)
            problems += [
                f"node '{who}' has not heard all of {_names(marks)}" for who, marks in lacking.items() if marks
            ]
            # What it says about this matters only at the end.
            await listeners[logger].until_heard([mark], settings.supervisor)
            if not await _stop(link, name, settings.supervisor):
                problems.append(f"node '{name}' does not stop")
        if missing := await listeners[logger].until_heard(order, settings.supervisor):
            problems.append(f"node '{logger}' has not written all of {_names(missing)}")
    return list(dict.fromkeys(problems))


def _names(marks: Iterable[str]) -> str:
    return ", ".join(mark.split()[0] for mark in marks)


async def _connected(link: Bus) -> None:
    try:
        async with asyncio.timeout(ANSWER):
            async for received in link.events():
                if isinstance(received, PeerAdded):
                    return
    except TimeoutError:
        raise SupervisionError("the supervisor cannot be reached") from None


class _Process(NamedTuple):
    pid: int
    start_time: int

    @property
    def lives(self) -> bool:
        life = procfs.life(self.pid)
        return life is not None and life.start_time == self.start_time

    @property
    def work(self) -> Work:
        return Work(procfs.bytes_written(self.pid), procfs.cpu_time(self.pid))


async def _processes(link: Bus, names: Iterable[str]) -> dict[str, _Process | None]:
    """The nodes' processes by name; None for a node without a living process."""
    try:
        answer = await link.request(topics.SUPERVISOR, StatusRequest(fresh_id()), ANSWER)
    except RequestTimeoutError:
        raise SupervisionError("the supervisor does not say which nodes run") from None
    nodes = answer.result.nodes
    found: dict[str, _Process | None] = dict.fromkeys(names)
    for name in found.keys() & nodes.keys():
        pid = nodes[name].pid
        if pid is not None and (life := procfs.life(pid)) is not None:
            found[name] = _Process(pid, life.start_time)
    return found


async def _stop(link: Bus, name: str, own: SupervisorSettings) -> bool:
    try:
        answer = await link.request(
            topics.SUPERVISOR, DestroyRequest(fresh_id(), name), max(own.grace, own.grace_ceiling) + ANSWER
        )
    except RequestTimeoutError:
        return False
    return answer.result


class _Listener:
    """A node that receives marks. If it was too late once, it is not waited for again.

    Args:
        file: the file into which it writes the marks that it has received.
        process: the node's process; None if it has ended.
    """

    def __init__(self, file: Path, process: _Process | None) -> None:
        self._file = file
        self._process = process

    async def until_heard(self, marks: Iterable[str], own: SupervisorSettings) -> list[str]:
        """Wait until it has received the marks, as long as it works. Returns the marks that are missing, sorted.

        Args:
            marks: the marks, each a line of the file.
            own: says how long it may take.

        Raises:
            SupervisionError: its directory cannot be watched.
        """
        wanted = set(marks)
        if self._process is not None and not await self._heard(self._process, wanted, own):
            self._process = None
        return sorted(wanted - _lines(self._file))

    async def _heard(self, process: _Process, wanted: set[str], own: SupervisorSettings) -> bool:
        loop = asyncio.get_running_loop()
        changed = Signal()
        inotify = Inotify(lambda: _noted(inotify, changed))
        try:
            with acting_as_owner(self._file.parent):
                inotify.watch(self._file.parent, IN_MODIFY | IN_CLOSE_WRITE)
            patience = Stop(loop.time(), own.grace, own.grace_ceiling, process.work)
            while True:
                if wanted <= _lines(self._file):
                    return True
                if not process.lives or loop.time() >= patience.due:
                    return False
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(patience.next_measurement):
                        await changed.next()
                patience.measured(loop.time(), process.work)
        except OSError as error:
            raise SupervisionError(f"{self._file.parent} cannot be watched: {error.strerror}") from None
        finally:
            inotify.close()


def _noted(inotify: Inotify, changed: Signal) -> None:
    for _ in inotify.read():
        changed.notify()


def _lines(file: Path) -> set[str]:
    with suppress(OSError), acting_as_owner(file.parent):
        return set(read_regular(file, MOST_MARKS).decode(errors="replace").splitlines())
    return set()
