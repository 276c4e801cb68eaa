"""Who may say that a daemon is ready."""

from __future__ import annotations

import asyncio
import os

import pytest

from support.waiting import async_until
from zeekfleet.daemon.readiness import announce, notify, receiver
from zeekfleet.model.variables import NOTIFY_SOCKET


async def test_a_process_of_ours_announces_its_status(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []
    with receiver(told.append) as made:
        announce("agent a1", {NOTIFY_SOCKET: made.address})
        notify("STOPPING=1", {NOTIFY_SOCKET: made.address})
        await async_until(lambda: told == ["agent a1"])
    assert capsys.readouterr().out == "ready: agent a1\n"
    notify("READY=1", {NOTIFY_SOCKET: made.address})  # nobody listens any more, which is no error


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
async def test_nobody_else_does() -> None:
    told: list[str] = []
    with receiver(told.append) as made:
        await asyncio.to_thread(_as_nobody, "READY=1\nSTATUS=forged", made.address)
        notify("READY=1\nSTATUS=true", {NOTIFY_SOCKET: made.address})
        await async_until(lambda: bool(told))
    assert told == ["true"]


def _as_nobody(message: str, address: str) -> None:
    child = os.fork()
    if not child:
        try:
            os.setuid(65534)
            notify(message, {NOTIFY_SOCKET: address})
        finally:
            os._exit(0)
    assert os.waitpid(child, 0) == (child, 0)
