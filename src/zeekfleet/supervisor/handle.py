"""The supervisor's end of the connection to the stem; kept up until closed."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

import zeekfleet
from zeekfleet.errors import StemError, ZeekfleetError
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.stem import protocol, sockets
from zeekfleet.supervisor import stem

logger = logging.getLogger(__name__)

_CHUNK = 256 * 1024
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0
_HELLO_TIMEOUT = 15.0


class _OutdatedError(StemError):
    """The stem that runs is of another release, and ``pid`` is its process."""

    def __init__(self, pid: int, reason: str) -> None:
        self.pid = pid
        super().__init__(reason)


class StemHandle:
    """Commands in, events out.

    Args:
        state: the state directory.
        welcomed: called at every connection, before any of its events.
        happened: takes every event, in order.
    """

    def __init__(
        self,
        state: Path,
        welcomed: Callable[[protocol.Welcome], None],
        happened: Callable[[protocol.Event], None],
    ) -> None:
        self._state = state
        self._welcomed = welcomed
        self._happened = happened
        self._requests = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[protocol.Done | protocol.Listing | None]] = {}
        self._connected = asyncio.Event()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._frames = protocol.FrameReader()
        self._closing = False
        self._last_request = 0
        self._stem_pid = 0

    async def connect(self) -> None:
        """Find or start the stem, and greet it; one of another release is replaced, its nodes run on.

        Raises:
            StateDirectoryError: the state directory cannot be used.
            StemError: it could not be started, or does not answer.
        """
        try:
            await self._greet()
        except _OutdatedError as error:
            logger.info("the stem is replaced: %s", error)
            self._disconnect()
            await asyncio.to_thread(stem.end, error.pid)
            await self._greet()

    async def _greet(self) -> None:
        connection = await stem.connect(self._state)
        connection.setblocking(False)
        self._stem_pid = sockets.peer_process(connection)
        self._reader, self._writer = await asyncio.open_unix_connection(sock=connection)
        self._frames = protocol.FrameReader()
        self._writer.write(protocol.encode(protocol.Hello()))
        try:
            async with asyncio.timeout(_HELLO_TIMEOUT):
                while not self._connected.is_set():
                    if not await self._receive():
                        raise StemError("the stem closed the connection instead of a greeting")
        except TimeoutError as error:
            raise StemError(f"the stem did not greet within {_HELLO_TIMEOUT:g} s") from error

    async def run(self) -> None:
        """Receive; when the connection is lost, find or start the stem again, at once the first time.

        Ends after :meth:`close`.
        """
        pause = 0.0
        while True:
            try:
                if self._writer is None:
                    await self.connect()
                    pause = 0.0
                while await self._receive():
                    continue
            except (ZeekfleetError, OSError) as error:
                logger.warning("stem: %s", error)
            self._disconnect()
            if self._closing:
                return
            logger.warning("connection to the stem lost; looking for it again")
            stem.reap()
            if pause:
                await asyncio.sleep(pause)
            pause = min(max(pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)

    def close(self) -> None:
        """Leave the stem to itself."""
        self._closing = True
        self._disconnect()

    async def create(self, specs: tuple[LaunchSpec, ...], timeout: float) -> dict[str, str]:
        """See :class:`zeekfleet.stem.protocol.Create`; this and the following raise StemError at the time-out.

        A command whose answer was lost with the connection is given again to the stem
        that is there then; what it had done already counts as done.
        """
        outcomes, again = await self._command(lambda request: protocol.Create(request, specs), timeout)
        return dict.fromkeys(outcomes, "") if again else outcomes

    async def destroy(self, names: tuple[str, ...], timeout: float) -> dict[str, str]:
        """See :class:`zeekfleet.stem.protocol.Destroy`."""
        outcomes, again = await self._command(lambda request: protocol.Destroy(request, names), timeout)
        return dict.fromkeys(outcomes, "") if again else outcomes

    async def restart(self, names: tuple[str, ...], timeout: float) -> dict[str, str]:
        """See :class:`zeekfleet.stem.protocol.Restart`."""
        return (await self._command(lambda request: protocol.Restart(request, names), timeout))[0]

    async def shutdown(self, groups: tuple[tuple[str, ...], ...], timeout: float) -> None:
        """See :class:`zeekfleet.stem.protocol.Shutdown`; the connection is not made again after it."""

        def command(request: int) -> protocol.Command:
            self._last_request = request
            return protocol.Shutdown(request, groups)

        await self._command(command, timeout)

    async def _command(self, make: Callable[[int], protocol.Command], timeout: float) -> tuple[dict[str, str], bool]:
        """Give a command; its outcomes, and whether it had to be given again."""
        attempts = 0
        try:
            async with asyncio.timeout(timeout):
                while True:
                    await self._connected.wait()
                    attempts += 1
                    if (done := await self._attempt(make)) is not None:
                        return done.outcomes if isinstance(done, protocol.Done) else {}, attempts > 1
        except TimeoutError as error:
            raise StemError(f"the stem did not answer within {timeout:g} s") from error

    async def _attempt(self, make: Callable[[int], protocol.Command]) -> protocol.Done | protocol.Listing | None:
        """Give a command once; None if the connection was lost before the answer."""
        if self._writer is None:
            raise StemError("the stem is not connected")
        request = next(self._requests)
        answer: asyncio.Future[protocol.Done | protocol.Listing | None] = asyncio.get_running_loop().create_future()
        self._waiting[request] = answer
        try:
            self._writer.write(protocol.encode(make(request)))
            return await answer
        finally:
            self._waiting.pop(request, None)

    async def _receive(self) -> bool:
        """Handle what comes next; False at the end of the connection."""
        if self._reader is None:
            return False
        try:
            data = await self._reader.read(_CHUNK)
        except ConnectionError:
            data = b""
        for body in self._frames.feed(data):
            try:
                message = protocol.from_stem_decoder.decode(body)
            except msgspec.MsgspecError as error:
                raise StemError(f"message of the stem not understood: {error}") from error
            self._handle(message)
        return bool(data)

    def _handle(self, message: protocol.FromStem) -> None:
        match message:
            case protocol.Refused(reason=reason):
                raise _OutdatedError(self._stem_pid, reason)
            case protocol.Welcome(release=release) if release != zeekfleet.__version__:
                raise _OutdatedError(self._stem_pid, f"it is of release {release}")
            case protocol.Welcome():
                self._connected.set()
                self._welcomed(message)
            case protocol.Done(request=request) | protocol.Listing(request=request):
                answer = self._waiting.pop(request, None)
                if answer is not None and not answer.done():
                    answer.set_result(message)
                if request == self._last_request:
                    self._closing = True  # the end of the connection that follows is wanted
            case _:
                self._happened(message)

    def _disconnect(self) -> None:
        self._connected.clear()
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            if not answer.done():
                answer.set_result(None)
