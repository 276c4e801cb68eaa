"""The supervisor's end of the connection to the stem, before stems that behave badly."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from zeekfleet.errors import StemError
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.release import RUNNING
from zeekfleet.stem import protocol
from zeekfleet.supervisor import handle as handles
from zeekfleet.supervisor import stem
from zeekfleet.supervisor.handle import StemHandle
from zeekfleet.waiting import Backoff

Answer = Callable[[protocol.ToStem], protocol.Message | None]
DEADLINE = 30.0
SPEC = LaunchSpec("a", ("true",), {}, "/", "/o", "/e")
WELCOME = protocol.Welcome(protocol.VERSION, os.getpid(), (), (), 0, running=RUNNING)


class Stem:
    """Answers as a test says, and closes the connection after a refusal, or where it has no answer."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.heard: list[protocol.ToStem] = []
        self.commanded = asyncio.Event()
        self.connections = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self, _: Path) -> socket.socket:
        ours, theirs = socket.socketpair()
        self.connections += 1
        task = asyncio.create_task(self._serve(ours))
        self._tasks.add(task)
        return theirs

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        frames = protocol.FrameReader()
        try:
            while data := await reader.read(65536):
                for body in frames.feed(data):
                    message = protocol.to_stem_decoder.decode(body)
                    self.heard.append(message)
                    if not isinstance(message, protocol.Hello):
                        self.commanded.set()
                    if (answer := self.answer(message)) is None:
                        return
                    writer.write(protocol.encode(answer))
                    if isinstance(answer, protocol.Refused):
                        return
        finally:
            writer.close()


@pytest.fixture
def connected_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # type: ignore[no-untyped-def]
    @asynccontextmanager
    async def connected_to(fake: Stem, happened: Callable[[protocol.Event], None]) -> AsyncIterator[StemHandle]:
        monkeypatch.setattr(stem, "connect", fake.connect)
        handle = StemHandle(tmp_path, lambda _: None, happened)
        await handle.connect()
        running = asyncio.create_task(handle.run())
        try:
            yield handle
        finally:
            handle.close()
            running.cancel()
            await asyncio.wait([running])

    return connected_to


def ignore(_: protocol.Event) -> None:
    """Nobody listens."""


async def test_a_refused_request_is_answered_and_not_repeated(connected_to) -> None:  # type: ignore[no-untyped-def]
    fake = Stem(lambda message: WELCOME if isinstance(message, protocol.Hello) else protocol.Refused("it is null"))
    async with connected_to(fake, ignore) as handle:
        with pytest.raises(StemError, match="refused the request: it is null"):
            await handle.create((SPEC,), DEADLINE)
    assert sum(isinstance(message, protocol.Create) for message in fake.heard) == 1


async def test_what_was_under_way_beside_a_refused_request_is_done_all_the_same(connected_to) -> None:  # type: ignore[no-untyped-def]
    both = asyncio.Event()
    created = 0

    def answer(message: protocol.ToStem) -> protocol.Message | None:
        nonlocal created
        match message:
            case protocol.Hello():
                return WELCOME
            case protocol.Create(request=request) if both.is_set():
                created += 1
                return protocol.Done(request, {"a": ""})
            case protocol.Create():
                return protocol.Started("a", 1, 1, 0, 0)  # no answer yet
            case _:
                both.set()
                return protocol.Refused("no")

    fake = Stem(answer)
    async with connected_to(fake, ignore) as handle, asyncio.TaskGroup() as tasks:
        creating = tasks.create_task(handle.create((SPEC,), DEADLINE))
        destroying = tasks.create_task(_refused(handle.destroy(("b",), DEADLINE)))
        assert await creating == {"a": ""}
        assert await destroying
    assert created == 1
    assert sum(isinstance(message, protocol.Destroy) for message in fake.heard) == 2


async def _refused(work) -> bool:  # type: ignore[no-untyped-def]
    with pytest.raises(StemError, match="refused"):
        await work
    return True


async def test_a_stem_that_greets_and_goes_is_not_hammered(connected_to, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    pauses: list[float] = []
    enough = asyncio.Event()
    sleep = asyncio.sleep

    async def slept(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) >= 10:
            enough.set()
        await sleep(0)

    monkeypatch.setattr(handles, "Backoff", lambda first, cap: Backoff(first, cap, part=lambda: 1.0))
    fake = Stem(lambda message: WELCOME if isinstance(message, protocol.Hello) else None)
    async with connected_to(fake, ignore) as handle:
        monkeypatch.setattr(handles.asyncio, "sleep", slept)
        giving = asyncio.create_task(handle.create((SPEC,), DEADLINE))
        async with asyncio.timeout(DEADLINE):
            await enough.wait()
        giving.cancel()
        await asyncio.wait([giving])
        monkeypatch.undo()
    assert all(longer > shorter for shorter, longer in zip(pauses[:5], pauses[2:7], strict=True))
    assert max(pauses) > 2


async def test_commands_end_with_the_reader(connected_to) -> None:  # type: ignore[no-untyped-def]
    """Nobody would ever hear the answer."""
    fake = Stem(lambda message: WELCOME if isinstance(message, protocol.Hello) else protocol.Started("a", 1, 1, 0, 0))
    async with connected_to(fake, ignore) as handle:
        asking = asyncio.create_task(_fails(handle.create((SPEC,), DEADLINE)))
        async with asyncio.timeout(DEADLINE):
            await fake.commanded.wait()
        handle.close()
        async with asyncio.timeout(5):
            assert "not connected" in await asking
            assert "not connected" in await _fails(handle.shutdown((), DEADLINE))


async def _fails(work) -> str:  # type: ignore[no-untyped-def]
    with pytest.raises(StemError) as caught:
        await work
    return str(caught.value)


async def test_what_goes_wrong_with_an_event_is_logged(connected_to, caplog: pytest.LogCaptureFixture) -> None:  # type: ignore[no-untyped-def]
    def fail(_: protocol.Event) -> None:
        raise LookupError("of a test")

    def answer(message: protocol.ToStem) -> protocol.Message | None:
        match message:
            case protocol.Hello():
                return WELCOME
            case protocol.Create():
                return protocol.Started("a", 1, 1, 0, 0)
            case protocol.Destroy(request=request):
                return protocol.Done(request, {"a": ""})
        return None

    fake = Stem(answer)
    async with connected_to(fake, fail) as handle:
        asking = asyncio.create_task(handle.create((SPEC,), DEADLINE))
        assert await handle.destroy(("a",), DEADLINE) == {"a": ""}
        asking.cancel()
        await asyncio.wait([asking])
    assert fake.connections == 1
    assert "of a test" in caplog.text


async def test_the_end_of_a_process_is_waited_for() -> None:
    old = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE)
    waiting = asyncio.create_task(stem.ended(old.pid, DEADLINE))
    assert not await stem.ended(old.pid, 0.01)
    assert not waiting.done()
    await old.communicate(b"")
    assert await waiting
    assert await stem.ended(old.pid, DEADLINE)
