"""The end of a cluster that has read a trace: no node is stopped before it has heard all that others had to say.

A Zeek that is told to end drops what it has received but not looked at yet. So the nodes are stopped one group after
the other, and the script ``zeekfleet-end.zeek`` notes in files who has heard all of whom::

    worker stops ── proxies and manager have heard all of it ── proxies stop ── manager has ── manager stops
                 ── the loggers have everybody's lines ── loggers may stop

A note that does not come is waited for as long as the node that is to write it works, and no longer than a node may
take to stop: its grace without a sign of work, its ceiling at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from zeekfleet.broker import topics
from zeekfleet.broker.events.supervisor import DestroyRequest, DestroyResponse, StatusRequest, StatusResponse
from zeekfleet.daemon import endpoints
from zeekfleet.daemon.endpoints import LOOPBACK
from zeekfleet.errors import RequestTimeoutError, SupervisionError
from zeekfleet.model.management import fresh_id
from zeekfleet.node import zeek
from zeekfleet.settings import Settings, SupervisorSettings
from zeekfleet.stem import procfs
from zeekfleet.stem.stopping import Stop, Work
from zeekfleet.system.inotify import IN_CLOSE_WRITE, IN_MODIFY, Inotify
from zeekfleet.transport.endpoint import Endpoint, PeerAdded

SCRIPT = str(Path(zeek.management_script()).with_name("zeekfleet-end.zeek"))
"""What every node must load, after all other scripts."""

HEARD_FILE = ".heard"
"""In a node's directory: the names of nodes that it has heard all of, as the script has it."""

END_LOG = "zeekfleet-end.log"
"""In a logger's directory: its lines name nodes whose log lines have all arrived."""

ANSWER = 60.0
"""Seconds that the supervisor, which is in this very process, may take to answer, beyond the time that a node has."""


async def stop_in_turn(
    settings: Settings, directories: dict[str, Path], order: Iterable[str], logger: str
) -> list[str]:
    """Stop all nodes but the logger, each when it has heard all of those before it; then wait for the logger.

    Where something goes wrong, the others are still stopped in order: each may have much to hand on.

    Args:
        settings: of the tree, whose supervisor is asked to stop the nodes; its grace and ceiling bound each waiting.
        directories: of all nodes, by name.
        order: the nodes in the order in which they stop.
        logger: who gets all log lines.

    Returns:
        What went wrong, so that logs may lack lines; a clause each.

    Raises:
        SupervisionError: the supervisor does not answer.
    """
    problems: list[str] = []
    stopped: list[str] = []
    unheard: set[str] = set()
    async with endpoints.supervisor_link("trace", settings.common) as link:
        link.subscribe(topics.SUPERVISOR)
        link.peer(LOOPBACK, settings.supervisor.port)
        await _connected(link)
        processes = await _processes(link)

        async def heard(name: str, file: str, names: set[str], verb: str) -> None:
            process = processes.get(name)
            missing = await _until_named(directories[name] / file, names, process, settings.supervisor)
            if missing:
                problems.append(f"node '{name}' has not {verb} all of {', '.join(sorted(missing))}")
            if process is not None and process.lives:
                # It has waited in vain, and so would the next.
                unheard.update(missing)

        for name in order:
            await heard(name, HEARD_FILE, set(stopped) - unheard, "heard")
            if not await _stop(link, name, settings.supervisor):
                problems.append(f"node '{name}' does not stop")
            stopped.append(name)
        await heard(logger, END_LOG, set(stopped), "written")
    return problems


async def _connected(link: Endpoint) -> None:
    try:
        async with asyncio.timeout(ANSWER):
            async for happening in link.events():
                if isinstance(happening, PeerAdded):
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


async def _processes(link: Endpoint) -> dict[str, _Process]:
    """Those of the nodes that live, by name."""
    try:
        answer = await link.request(topics.SUPERVISOR, StatusRequest(fresh_id()), ANSWER)
    except RequestTimeoutError:
        raise SupervisionError("the supervisor does not say which nodes run") from None
    nodes = answer.result.nodes if isinstance(answer, StatusResponse) else {}
    pids = {name: status.pid for name, status in nodes.items() if status.pid is not None}
    return {name: _Process(pid, life.start_time) for name, pid in pids.items() if (life := procfs.life(pid))}


async def _stop(link: Endpoint, name: str, own: SupervisorSettings) -> bool:
    try:
        answer = await link.request(
            topics.SUPERVISOR, DestroyRequest(fresh_id(), name), max(own.grace, own.grace_ceiling) + ANSWER
        )
    except RequestTimeoutError:
        return False
    return isinstance(answer, DestroyResponse) and answer.result


async def _until_named(file: Path, names: set[str], process: _Process | None, own: SupervisorSettings) -> set[str]:
    """Wait until the file has a line for each name, while the process that writes it works; the names without one.

    Args:
        file: what the process writes.
        names: who must be in it.
        process: None if there was none when it was looked for.
        own: how long it may take.
    """
    if process is None:
        return names - _lines(file)
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    inotify = Inotify(lambda: _noted(inotify, changed))
    try:
        inotify.watch(file.parent, IN_MODIFY | IN_CLOSE_WRITE)
        patience = Stop(loop.time(), own.grace, own.grace_ceiling, process.work)
        while True:
            changed.clear()
            # Asked before the file is read: its last act may have been to write it.
            lives = process.lives
            missing = names - _lines(file)
            if not missing or not lives or loop.time() >= patience.due:
                return missing
            with suppress(TimeoutError):
                async with asyncio.timeout_at(patience.next_look):
                    await changed.wait()
            patience.look(loop.time(), process.work)
    except OSError as error:
        raise SupervisionError(f"{file.parent} cannot be watched: {error.strerror}") from None
    finally:
        inotify.close()


def _noted(inotify: Inotify, changed: asyncio.Event) -> None:
    for _ in inotify.read():
        changed.set()


def _lines(file: Path) -> set[str]:
    with suppress(OSError):
        return set(file.read_text(errors="replace").splitlines())
    return set()
