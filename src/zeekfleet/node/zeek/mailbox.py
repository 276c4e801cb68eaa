"""The agent's side of mailboxes (see ``planning/mailbox.py``). Answers are noticed by inotify, without polling."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.dispatches import NodePeers
from zeekfleet.broker.events.node import NodeDispatchResponse, NotifyNodeHello
from zeekfleet.model.dispatches import DATA
from zeekfleet.model.management import Result
from zeekfleet.planning.mailbox import ANSWER_SUFFIX, REQUESTS_FILE
from zeekfleet.system.files import open_own, read_regular
from zeekfleet.system.inotify import IN_MOVED_TO, IN_Q_OVERFLOW, Inotify
from zeekfleet.system.privileges import acting_as_owner

logger = logging.getLogger(__name__)

OPEN_FOR = 10.0
"""Seconds after which an unanswered request is removed; by then its time-out is over."""

MOST_OPEN = 64
"""The most open requests to one node; beyond that the oldest is removed."""

LARGEST_ANSWER = 16 * 2**20
"""The most bytes of an answer; a larger one is discarded."""

OnEvent = Callable[[Event], None]


NOTHING = msgspec.Raw()


class _Answer(msgspec.Struct):
    reqid: str
    success: bool = True
    data: msgspec.Raw = NOTHING
    error: str | None = None
    node: str | None = None


class _Mail(msgspec.Struct):
    hello: str | None = None
    missing: tuple[str, ...] | None = None
    action: str = ""
    result: _Answer | None = None


class _Request(msgspec.Struct, frozen=True):
    reqid: str
    action: tuple[str, ...]


class Mailboxes:
    """The mailboxes of an instance's nodes.

    Args:
        clock: a monotonic clock, in seconds.

    Attributes:
        on_event: called with each event of a node; set it before the first :meth:`follow`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.on_event: OnEvent = _unheard
        self._clock = clock
        self._directories: dict[str, Path] = {}
        self._open: dict[str, dict[str, tuple[float, _Request]]] = {}
        self._inotify: Inotify | None = None
        self._watches: dict[int, str] = {}

    def __contains__(self, node: str) -> bool:
        return node in self._directories

    def follow(self, directories: Mapping[str, Path]) -> None:
        """Watch the mailboxes of these nodes and no others, and read what they already contain."""
        for node in self._directories.keys() - directories.keys():
            self._forget(node)
        for node, directory in directories.items():
            if self._directories.get(node) != directory:
                self._forget(node)
                self._watch(node, directory)

    def send(self, reqid: str, action: tuple[str, ...], node: str) -> None:
        """Send a request to a node that has a mailbox. A node ignores a request whose id it already knows."""
        waiting = self._open.setdefault(node, {})
        now = self._clock()
        for old in [old for old, (since, _) in waiting.items() if now - since > OPEN_FOR]:
            del waiting[old]
        if reqid not in waiting:
            waiting[reqid] = now, _Request(reqid, action)
        while len(waiting) > MOST_OPEN:
            del waiting[next(iter(waiting))]
        self._write(node, [request for _, request in waiting.values()])

    def close(self) -> None:
        """Stop watching."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
        self._watches.clear()
        self._directories.clear()

    def _watch(self, node: str, directory: Path) -> None:
        try:
            if self._inotify is None:
                self._inotify = Inotify(self._happened)
            with _acting_as_owner(directory):
                self._watches[self._inotify.watch(directory, IN_MOVED_TO)] = node
        except OSError as error:
            logger.warning(
                "node %s cannot be reached by its mailbox: %s", node, error, extra={"node": node, "error": str(error)}
            )
            return
        self._directories[node] = directory
        self._read(node)

    def _forget(self, node: str) -> None:
        self._directories.pop(node, None)
        self._open.pop(node, None)
        for watch in [watch for watch, name in self._watches.items() if name == node]:
            del self._watches[watch]
            if self._inotify is not None:
                self._inotify.unwatch(watch)

    def _happened(self) -> None:
        if self._inotify is None:
            return
        nodes: set[str] = set()
        for watch, mask in self._inotify.read():
            if mask & IN_Q_OVERFLOW:
                nodes |= self._directories.keys()
            elif watch in self._watches:
                nodes.add(self._watches[watch])
        for node in nodes & self._directories.keys():
            self._read(node)

    def _read(self, node: str) -> None:
        """Read and remove all answers, the oldest first."""
        directory = self._directories[node]
        try:
            with _acting_as_owner(directory):
                found = [path for path in directory.iterdir() if path.name.endswith(ANSWER_SUFFIX)]
                found.sort(key=_order)
        except OSError as error:
            self._warn(node, error)
            return
        for path in found:
            try:
                with _acting_as_owner(directory):
                    content = read_regular(path, LARGEST_ANSWER + 1)
                    path.unlink()
            except OSError as error:
                self._warn(node, error)
                continue
            event = _event(node, content) if len(content) <= LARGEST_ANSWER else None
            if event is None:
                logger.warning("mailbox of node %s: %s is no valid answer", node, path.name, extra={"node": node})
                continue
            if isinstance(event, NodeDispatchResponse):
                self._open.get(node, {}).pop(event.reqid, None)
            self.on_event(event)

    def _warn(self, node: str, error: OSError) -> None:
        logger.warning("mailbox of node %s: %s", node, error, extra={"node": node, "error": str(error)})

    def _write(self, node: str, requests: list[_Request]) -> None:
        file = self._directories[node] / REQUESTS_FILE
        temporary = file.with_suffix(".new")
        try:
            with _acting_as_owner(self._directories[node]):
                descriptor = open_own(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK)
                with os.fdopen(descriptor, "wb") as stream:
                    stream.writelines(msgspec.json.encode(request) + b"\n" for request in requests)
                temporary.replace(file)
        except OSError as error:
            self._warn(node, error)


def _acting_as_owner(mailbox: Path) -> AbstractContextManager[None]:
    """Work in a mailbox as the node's user, to whom the node's directory belongs."""
    return acting_as_owner(mailbox.parent)


def _unheard(event: Event) -> None:
    logger.debug("nothing is set to receive %s", event.event_name)


def _order(path: Path) -> tuple[float, int, str]:
    """Sort answers by time; those of the same time by number, which a node counts from its start."""
    number = path.stem.rpartition("-")[2]
    try:
        when = path.stat().st_mtime
    except OSError:
        when = 0.0
    return when, int(number) if number.isdigit() else 0, path.name


def _event(node: str, content: bytes) -> Event | None:
    """The event in a file, or None if it is invalid. The event always names the node of the mailbox."""
    try:
        mail = msgspec.json.decode(content, type=_Mail)
        if mail.hello is not None:
            return NotifyNodeHello(node)
        if mail.missing is not None:
            return NodePeers(node, mail.missing)
        answer = mail.result
        if answer is None:
            return None
        data = msgspec.json.decode(answer.data, type=DATA.get(mail.action, str)) if bytes(answer.data) else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    result = Result(answer.reqid, answer.success, data=data, error=answer.error, node=node)
    return NodeDispatchResponse(answer.reqid, result)
