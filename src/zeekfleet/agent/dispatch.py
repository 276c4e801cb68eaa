"""Having cluster nodes run an action (protocol section 7): one request out, an answer from each node."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable

import msgspec

from zeekfleet.agent.links import NodeLinks
from zeekfleet.broker.events import node as events
from zeekfleet.model.management import Result, fresh_id

REPEAT_AFTER = 1.0
"""Seconds until a node that has not answered is asked again: a fresh subscription may not have reached it yet."""

PING = ("get_id_value", "Cluster::node")
"""An action that any node can run, for a sign of life."""


class NodeDispatcher:
    """Sends dispatches to the instance's nodes and gathers what comes back.

    Args:
        links: the ways to the nodes.
    """

    def __init__(self, links: NodeLinks) -> None:
        self._links = links
        self._waiting: dict[str, dict[str, Result | None]] = {}
        self._answered = asyncio.Event()

    def send(self, action: tuple[str, ...], nodes: Iterable[str], reqid: str = "") -> None:
        """Ask without waiting; any answer shows that the node is there."""
        self._links.send(events.NodeDispatchRequest(reqid or fresh_id(), action, frozenset(nodes)))

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
        if answers is not None and name in answers and answers[name] is None:
            answers[name] = msgspec.structs.replace(response.result)
            self._answered.set()
