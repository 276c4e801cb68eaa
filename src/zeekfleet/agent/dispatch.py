"""Having cluster nodes run an action (docs/protocol.md, section 7): one request out, an answer from each node."""

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

REPEAT_AFTER = 1.0
"""Seconds until a node that has not answered is asked again: a fresh subscription may not have reached it yet."""

PING = (MISSING_PEERS,)
"""An action for a sign of life: a node that does not know it says so, which is one."""

PINGS_KEPT = 256
"""How many pings may be on their way; the answer to an older one is a sign of life, and no more."""


class NodeDispatcher:
    """Sends dispatches to the instance's nodes and gathers what comes back.

    Args:
        links: the ways to the nodes.
        on_peers: called with a node's name, and those of the nodes that it must be connected to and is not, whenever
            an answer tells them.
    """

    def __init__(self, links: NodeLinks, on_peers: Callable[[str, tuple[str, ...]], None]) -> None:
        self._links = links
        self._on_peers = on_peers
        self._pings: deque[str] = deque(maxlen=PINGS_KEPT)
        self._waiting: dict[str, dict[str, Result | None]] = {}
        self._answered = asyncio.Event()

    def send(self, action: tuple[str, ...], nodes: Iterable[str], reqid: str = "") -> None:
        """Ask without waiting; any answer shows that the node is there."""
        reqid = reqid or fresh_id()
        if action == PING and reqid not in self._pings:
            self._pings.append(reqid)
        self._links.send(events.NodeDispatchRequest(reqid, action, frozenset(nodes)))

    async def ask(self, action: tuple[str, ...], nodes: Collection[str], timeout: float) -> dict[str, Result | None]:
        """Each node's answer, or None for those without one within ``timeout`` seconds."""
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
                    self._answered.clear()
                    await self._answered.wait()
        except TimeoutError:
            return

    def received(self, response: events.NodeDispatchResponse) -> None:
        """Take a node's answer; the first one counts."""
        answers = self._waiting.get(response.reqid)
        name = response.result.node
        if name is not None and response.reqid in self._pings and response.result.success:
            self._on_peers(name, _missing(response.result))
        if answers is not None and name in answers and answers[name] is None:
            answers[name] = msgspec.structs.replace(response.result)
            self._answered.set()


def _missing(result: Result) -> tuple[str, ...]:
    """What an answer to a ping tells; nobody, if it cannot be understood."""
    if isinstance(result.data, MissingPeers):
        return result.data.missing  # it came by a mailbox
    try:
        return SECOND.codec.from_value(result.data, MissingPeers).missing
    except ValueMismatchError:
        return ()
