"""``zeekfleet events -f`` beside a controller that is lost and comes back."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path

from support.proxy import FaultyProxy
from support.waiting import PATIENCE
from zeekfleet.broker.events.notifications import NotificationsRequest, NotificationsResponse
from zeekfleet.model.management import Result

BIN = Path(sys.executable).parent


async def test_what_is_asked_again_goes_back_to_when_following_began(controller):
    """Nothing was shown yet: the second question must cover what happened while there was no connection."""
    asked: asyncio.Queue[float] = asyncio.Queue()

    def answer(request: NotificationsRequest) -> NotificationsResponse:
        asked.put_nowait(request.seconds)
        return NotificationsResponse(request.reqid, Result(request.reqid, data=()))

    controller.on(NotificationsRequest, answer)
    async with FaultyProxy("127.0.0.1", controller.port) as proxy, asyncio.timeout(PATIENCE):
        began = time.monotonic()
        words = ("--controller", f":{proxy.port}", "events", "-f", "--since", "2s")
        process = await asyncio.create_subprocess_exec(str(BIN / "zeekfleet"), *words)
        first = await asked.get()
        proxy.drop()
        second = await asked.get()
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
    assert 2 < first < second < 2 + time.monotonic() - began
