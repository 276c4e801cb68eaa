"""The end of a cluster that has read a trace: no node is stopped before it has heard all that others had to say.

A Zeek that is told to end drops what it has received but not looked at yet. So the nodes are stopped one group after
the other, and the script ``zeekfleet-end.zeek`` notes in files who has heard all of whom::

    worker stops ── proxies and manager have heard all of it ── proxies stop ── manager has ── manager stops
                 ── the loggers have everybody's lines ── loggers may stop
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from zeekfleet.broker import topics
from zeekfleet.broker.events.supervisor import DestroyRequest
from zeekfleet.daemon import endpoints
from zeekfleet.daemon.endpoints import LOOPBACK
from zeekfleet.errors import RequestTimeoutError, SupervisionError
from zeekfleet.model.management import fresh_id
from zeekfleet.node import zeek
from zeekfleet.settings import Settings
from zeekfleet.system.inotify import IN_CLOSE_WRITE, IN_MODIFY, Inotify
from zeekfleet.transport.endpoint import Endpoint, PeerAdded

SCRIPT = str(Path(zeek.management_script()).with_name("zeekfleet-end.zeek"))
"""What every node must load, after all other scripts."""

HEARD_FILE = ".heard"
"""In a node's directory: the names of nodes that it has heard all of, as the script has it."""

END_LOG = "zeekfleet-end.log"
"""In a logger's directory: its lines name nodes whose log lines have all arrived."""

PATIENCE = 60.0
"""Seconds without a sign of work after which a node is taken not to get any further."""

TO_CONNECT = 30.0
"""Seconds to reach the supervisor, which is in this very process."""


async def stop_in_turn(settings: Settings, directories: dict[str, Path], order: Iterable[str], logger: str) -> None:
    """Stop all nodes but the logger, each when it has heard all of those before it; then wait for the logger.

    Args:
        settings: of the tree, whose supervisor is asked to stop the nodes.
        directories: of all nodes, by name.
        order: the nodes in the order in which they stop.
        logger: who gets all log lines.

    Raises:
        SupervisionError: a node does not stop, or gets no further.
    """
    stopped: list[str] = []
    async with endpoints.supervisor_link("trace", settings.common) as link:
        link.subscribe(topics.SUPERVISOR)
        link.peer(LOOPBACK, settings.supervisor.port)
        await _connected(link)
        grace = max(settings.supervisor.grace, settings.supervisor.grace_ceiling)
        for name in order:
            await _until_named(directories[name] / HEARD_FILE, stopped, f"node '{name}' has not heard all of")
            try:
                await link.request(topics.SUPERVISOR, DestroyRequest(fresh_id(), name), grace + PATIENCE)
            except RequestTimeoutError:
                raise SupervisionError(f"node '{name}' does not stop; logs may be incomplete") from None
            stopped.append(name)
    await _until_named(directories[logger] / END_LOG, stopped, f"node '{logger}' has not written all log lines of")


async def _connected(link: Endpoint) -> None:
    try:
        async with asyncio.timeout(TO_CONNECT):
            async for happening in link.events():
                if isinstance(happening, PeerAdded):
                    return
    except TimeoutError:
        raise SupervisionError("the supervisor cannot be reached; logs may be incomplete") from None


async def _until_named(file: Path, names: Iterable[str], problem: str) -> None:
    """Wait until the file has a line for each name; as long as anything in its directory changes, work is being done.

    Raises:
        SupervisionError: nothing changes any more.
    """
    wanted = set(names)
    changed = asyncio.Event()
    inotify = Inotify(lambda: _noted(inotify, changed))
    try:
        inotify.watch(file.parent, IN_MODIFY | IN_CLOSE_WRITE)
        while missing := wanted - _lines(file):
            changed.clear()
            try:
                async with asyncio.timeout(PATIENCE):
                    await changed.wait()
            except TimeoutError:
                raise SupervisionError(f"{problem} {', '.join(sorted(missing))}; logs may be incomplete") from None
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
