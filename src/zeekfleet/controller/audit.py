"""Writes the audit log: each request that changes something, before it is carried out, and then its outcome."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Collection
from pathlib import Path

from zeekfleet.broker.events import checks, controller, deployments, dispatches, stops
from zeekfleet.broker.events.base import Event, Response, ResultResponse, ResultsResponse
from zeekfleet.model.management import Configuration, Result
from zeekfleet.model.texts import shown
from zeekfleet.security import audit
from zeekfleet.security.audit import Asked, AuditRecord
from zeekfleet.security.permissions import TABLE, Place, event_name
from zeekfleet.security.reports import Reports
from zeekfleet.security.users import name_of
from zeekfleet.system.line_file import LineFile
from zeekfleet.transport.bus import Peer
from zeekfleet.waiting import Signal

logger = logging.getLogger(__name__)

LINES_REMEMBERED = 100
"""How many of the last lines are searched at a start for one that is not torn."""


class AuditTrail:
    """The audit log of a controller.

    A record is in the file when a method returns, so it survives the end of this process; :meth:`run` forces it to disk
    a moment later. If the log cannot be written, requests are carried out all the same: nobody should have to free the
    disk before restarting a node. The controller then logs an error.

    Args:
        file: the log; ``FILE.1`` and so on are its older parts.
        limit: bytes after which a new part is begun.
        kept: how many older parts are kept.
        clock: the time, in seconds since 1970.
    """

    def __init__(self, file: Path, limit: int, kept: int, clock: Callable[[], float] = time.time) -> None:
        self._path = file
        self._limit = limit
        self._kept = kept
        self._clock = clock
        self._file = LineFile(file, self._failed)
        self._reports = Reports()
        self._written = Signal()
        self._has_failed = False
        self._number, self._previous = 0, audit.BEGINNING
        lines = _last_lines(self._file, file)
        for behind, line in enumerate(reversed(lines)):
            if (record := audit.decode(line)) is not None:
                self._number = record.number + behind
                break
        if lines:
            self._previous = audit.digest(lines[-1])

    def asked(self, event: Event, peer: Peer) -> None:
        """Record a request that is about to be carried out. Requests that only read are not recorded."""
        if _changes(event):
            self._write(event, peer, "asked", _about(event))

    def answered(self, event: Event, peer: Peer, response: Response | None) -> None:
        """Record the outcome of a request."""
        if _changes(event):
            self._write(event, peer, _outcome(response))

    def refused(self, peer: Peer, event: Event, why: str) -> None:
        """Record a request that the peer was not allowed to make; for each user and request, once a minute at most."""
        row = TABLE.get(type(event))
        if row is None or row.place is not Place.CONTROLLER or isinstance(event, Response):
            return
        line = self._reports.line((who(peer), type(event)), lambda: f"refused: {why}")
        if line:
            self._write(event, peer, line)

    async def run(self) -> None:
        """Force records to disk, until cancelled."""
        written = 0
        while True:
            while written == self._number:
                await self._written.next()
            written = self._number
            await asyncio.to_thread(self._sync)

    def close(self) -> None:
        """Close the log."""
        self._file.close()

    def _write(self, event: Event, peer: Peer, outcome: str, about: Asked | None = None) -> None:
        record = AuditRecord(
            self._number + 1,
            self._clock(),
            who(peer),
            origin(peer),
            event_name(event),
            audit.bounded(shown(getattr(event, "reqid", ""))),
            audit.bounded(shown(outcome, audit.LONGEST_TEXT)),
            self._previous,
            about,
        )
        line = audit.encode(record)
        if self._file.size and self._file.size + len(line) >= self._limit:
            self._rotate()
        if self._file.append(line + b"\n"):
            self._number, self._previous = record.number, audit.digest(line)
            self._has_failed = False
            self._written.notify()

    def _rotate(self) -> None:
        """Begin a new part. Its first record continues the chain from the last record of this part."""
        self._sync()
        self._file.close()
        try:
            for number in range(self._kept, 0, -1):
                former = self._path if number == 1 else audit.part(self._path, number - 1)
                if former.exists():
                    former.replace(audit.part(self._path, number))
            if not self._kept:
                self._path.unlink()
        except OSError as error:
            self._failed(f"cannot rotate {self._path}: {error.strerror}")

    def _sync(self) -> None:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return  # it was rotated away, or could not be made, which was logged
        try:
            os.fdatasync(descriptor)
        except OSError as error:
            self._failed(f"{self._path} is not forced to disk: {error.strerror}")
        finally:
            os.close(descriptor)

    def _failed(self, problem: str) -> None:
        if not self._has_failed:
            self._has_failed = True
            logger.error("the audit log is not written: %s", problem, extra={"error": problem})


def who(peer: Peer) -> str:
    """Who sent the request: the owner of the certificate, such as ``operator/alice``, or the user of this host."""
    if peer.identity is not None:
        return str(peer.identity)
    return "unknown" if peer.uid is None else name_of(peer.uid)


def origin(peer: Peer) -> str:
    """Where a request comes from: the address, and what the program calls itself."""
    return audit.bounded(f"{peer.place}, {peer.name}" if peer.name else peer.place)


def whence(peer: Peer) -> str:
    """Who sent the request, and from where, such as ``root (0) from 127.0.0.1:40112, zeek-client``."""
    return f"{who(peer)} from {origin(peer)}"


def _last_lines(current: LineFile, file: Path) -> list[bytes]:
    """The last lines of the newest part that has any; the chain continues from there. Terminates a torn last line."""
    lines = _end_of(current)
    if not lines and (older := audit.part(file, 1)).exists():
        former = LineFile(older, lambda problem: logger.error("%s", problem))
        lines = _end_of(former)
        former.close()
    return lines


def _end_of(file: LineFile) -> list[bytes]:
    return list(deque((line for _, line in file.lines()), LINES_REMEMBERED))


def _changes(event: Event) -> bool:
    row = TABLE.get(type(event))
    return row is not None and row.changes


def _about(event: Event) -> Asked:
    match event:
        case (
            controller.StageConfigurationRequest(config=config)
            | controller.SetConfigurationRequest(config=config)
            | checks.ControllerCheckRequest(config=config)
        ):
            return _of_configuration(config)
        case controller.RestartRequest(nodes=nodes) | stops.ControllerHurry(nodes=nodes):
            return _of_nodes(nodes)
        case dispatches.ControllerDispatchRequest(action=action, nodes=nodes):
            # The third word is an option's new value, which may be a secret.
            return _of_nodes(nodes, tuple(shown(word) for word in action[:2]))
        case deployments.AbortDeploymentRequest(deployment=deployment):
            return Asked(deployment=shown(deployment))
        case _:
            return Asked()


def _of_configuration(config: Configuration) -> Asked:
    instances = sorted(instance.name for instance in config.instances)
    nodes = sorted(node.name for node in config.nodes)
    named = [name for names in (instances, nodes) for name in names[: audit.MOST_NAMES]]
    more = len(instances) + len(nodes) - len(named)
    return Asked(shown(config.id), _names(instances), _names(nodes), more=more)


def _of_nodes(nodes: Collection[str], action: tuple[str, ...] = ()) -> Asked:
    return Asked(nodes=_names(sorted(nodes)), action=action, more=max(0, len(nodes) - audit.MOST_NAMES))


def _names(names: list[str]) -> tuple[str, ...]:
    return tuple(shown(name) for name in names[: audit.MOST_NAMES])


def _outcome(response: Response | None) -> str:
    results: tuple[Result, ...] = ()
    match response:
        case ResultResponse(result=result):
            results = (result,)
        case ResultsResponse(results=several):
            results = several
    failed = [result for result in results if not result.success]
    if not failed:
        return "done"
    first = failed[0].error or f"node '{failed[0].node}'"
    return f"failed: {first}" + (f" and {len(failed) - 1} more" if len(failed) > 1 else "")
