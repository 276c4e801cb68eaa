"""Has cluster nodes run an action (docs/protocol.md, section 7): one request, and an answer from each node."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable

import msgspec

from zeekfleet.broker.events import node as events
from zeekfleet.broker.generations import SECOND
from zeekfleet.errors import ValueMismatchError
from zeekfleet.model.dispatches import MISSING_PEERS, MissingPeers
from zeekfleet.model.management import Result, fresh_id
from zeekfleet.node.engine import NodeLinks
from zeekfleet.waiting import Signal

REPEAT_AFTER = 1.0
"""Seconds until a node that has not answered is asked again. A new node may not have received the first request."""

PING = (MISSING_PEERS,)
"""The action of a ping. A node that does not know this action answers with an error, which is also a sign of life."""

PINGS_KEPT = 256
"""The most pings whose answers are read. The answer to an older ping counts only as a sign of life."""


class NodeDispatcher:
    """Sends dispatches to the instance's nodes and gathers what comes back.

    Args:
        links: how the nodes are reached.
        on_peers: called when the answer to a ping arrives, with the node's name and its missing peers.
    """

    def __init__(self, links: NodeLinks, on_peers: Callable[[str, tuple[str, ...]], None]) -> None:
        self._links = links
        self._on_peers = on_peers
        self._pings: deque[str] = deque(maxlen=PINGS_KEPT)
        self._waiting: dict[str, dict[str, Result | None]] = {}
        self._answered = Signal()

    def send(self, action: tuple[str, ...], nodes: Iterable[str], reqid: str = "") -> None:
        """Send a request without waiting for answers."""
        reqid = reqid or fresh_id()
        if action == PING and reqid not in self._pings:
            self._pings.append(reqid)
        self._links.send(events.NodeDispatchRequest(reqid, action, frozenset(nodes)))

    async def ask(self, action: tuple[str, ...], nodes: Collection[str], timeout: float) -> dict[str, Result | None]:
        """Each node's answer; None if it has not answered within ``timeout`` seconds."""
        reqid = fresh_id()
        answers: dict[str, Result | None] = dict.fromkeys(sorted(nodes))
        self._waiting[reqid] = answers
        deadline = asyncio.get_running_loop().time() + timeout
        try:
            while missing := [name for name, answer in answers.items() if answer is None]:
                rest = deadline - asyncio.get_running_loop().time()
                if rest <= 0:
                    break
                self.send(action, missing, reqid)
                await self._wait_for(missing, answers, min(rest, REPEAT_AFTER))
        finally:
            del self._waiting[reqid]
        return answers

    async def _wait_for(self, names: list[str], answers: dict[str, Result | None], timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                while any(answers[name] is None for name in names):
                    await self._answered.next()
        except TimeoutError:
            return

    def received(self, response: events.NodeDispatchResponse) -> None:
        """Process a node's answer; only the first answer to a request counts."""
        answers = self._waiting.get(response.reqid)
        name = response.result.node
        if name is not None and response.reqid in self._pings and response.result.success:
            self._on_peers(name, _missing(response.result))
        if answers is not None and name in answers and answers[name] is None:
            answers[name] = msgspec.structs.replace(response.result)
            self._answered.notify()


def _missing(result: Result) -> tuple[str, ...]:
    """The missing peers in an answer to a ping; none if the answer is invalid."""
    if isinstance(result.data, MissingPeers):
        return result.data.missing  # an answer from a mailbox is already decoded
    try:
        return SECOND.codec.from_value(result.data, MissingPeers).missing
    except ValueMismatchError:
        return ()
