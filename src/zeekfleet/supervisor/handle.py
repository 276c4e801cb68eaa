"""The supervisor's end of the connection to the stem; kept up until closed."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from zeekfleet.errors import StemError, ZeekfleetError
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.release import RUNNING, Release
from zeekfleet.stem import protocol, sockets
from zeekfleet.supervisor import stem

logger = logging.getLogger(__name__)

_CHUNK = 256 * 1024
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0
_STEADY_AFTER = 5.0
"""Seconds of a connection after which its loss is the first one again."""
_HELLO_TIMEOUT = 15.0
_LAST_BREATH = 2.0
"""Seconds for a stem to end that has closed all its connections."""
_SWEEPING = 60.0
"""Seconds for a stem to end beside the graces of its nodes."""
_MAX_STARTS = 5
"""Stems that end while they are greeted, until that is an error."""


class _OutdatedError(StemError):
    """The stem that runs is of another release, and ``pid`` is its process."""

    def __init__(self, pid: int, reason: str) -> None:
        self.pid = pid
        super().__init__(reason)


class _RefusedError(StemError):
    """The stem has not understood a command on this connection.

    Attributes:
        is_certain: no other command was under way.
    """

    def __init__(self, reason: str, is_certain: bool) -> None:
        self.is_certain = is_certain
        super().__init__(f"the stem refused the request: {reason}")


class _LeavingError(StemError):
    """The stem that was found is stopping its nodes, or has just ended.

    Attributes:
        pid: its process.
        patience: seconds that its end may take.
    """

    def __init__(self, pid: int, patience: float, reason: str) -> None:
        self.pid = pid
        self.patience = patience
        super().__init__(f"the stem with pid {pid} {reason}")


class StemHandle:
    """Commands in, events out.

    Args:
        state: the state directory.
        welcomed: called at every connection, before any of its events.
        happened: takes every event, in order.

    Attributes:
        stem: the process id and the release of the stem that greeted last; None for a release that does not tell.
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
        self._waiting: dict[int, asyncio.Future[protocol.Done | None]] = {}
        self._connected = asyncio.Event()
        self._over = False
        self._suspects = asyncio.Lock()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._frames = protocol.FrameReader()
        self._closing = False
        self._last_request = 0
        self._stem_pid = 0
        self._replaces = True
        self.stem: tuple[int, Release | None] = (0, None)

    async def connect(self) -> None:
        """Find or start the stem, and greet it.

        One of another release that is found at first is replaced, and its nodes run on. One that is started later may
        be of another release, too, since the files on disk may have been upgraded under this process. The end of one
        that is stopping its nodes is waited for: what is wanted now is for the next.

        Raises:
            StateDirectoryError: the state directory cannot be used.
            StemError: it could not be started, or does not answer.
        """
        for _ in range(_MAX_STARTS):
            try:
                return await self._greet()
            except _OutdatedError as error:
                logger.info("the stem is replaced: %s", error, extra={"error": str(error)})
                self._replaces = False
                self._disconnect()
                await asyncio.to_thread(stem.end, error.pid)
            except _LeavingError as error:
                logger.info("%s; its end is waited for", error, extra={"error": str(error)})
                self._disconnect()
                if not await stem.ended(error.pid, error.patience):
                    raise StemError(f"{error}, and does not end") from error
        raise StemError(f"the stem of {self._state} ends again and again instead of a greeting")

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
                        reason = "has closed the connection instead of a greeting"
                        raise _LeavingError(self._stem_pid, _LAST_BREATH, reason)
        except TimeoutError as error:
            raise StemError(f"the stem did not greet within {_HELLO_TIMEOUT:g} s") from error

    async def run(self) -> None:
        """Receive; when the connection is lost, find or start the stem again, at once the first time.

        Ends after :meth:`close`, and then no command is waited for any more.
        """
        try:
            await self._run()
        finally:
            self._over = True
            self._disconnect()
            self._connected.set()  # for those who wait

    async def _run(self) -> None:
        pause = 0.0
        while True:
            connected_at = time.monotonic()
            try:
                if self._writer is None:
                    await self.connect()
                    connected_at = time.monotonic()
                while await self._receive():
                    continue
            except (ZeekfleetError, OSError) as error:
                logger.warning("stem: %s", error, extra={"error": str(error)})
            except Exception:
                logger.exception("the connection to the stem failed")
            self._disconnect()
            if self._closing:
                return
            logger.warning("connection to the stem lost; looking for it again")
            stem.reap()
            if time.monotonic() - connected_at >= _STEADY_AFTER:
                pause = 0.0
            if pause:
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
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

    async def shutdown(self, groups: tuple[tuple[str, ...], ...], timeout: float, now: bool = False) -> None:
        """See :class:`zeekfleet.stem.protocol.Shutdown`; returns when the stem has ended."""

        def command(request: int) -> protocol.Command:
            self._last_request = request
            return protocol.Shutdown(request, groups, now)

        await self._command(command, timeout)
        if not await stem.ended(self._stem_pid, _LONGEST_PAUSE):
            raise StemError(f"the stem with pid {self._stem_pid} does not end")

    def hurry(self, names: tuple[str, ...] = ()) -> None:
        """See :class:`zeekfleet.stem.protocol.Hurry`. Nobody waits for it, and without a stem nothing is stopped."""
        self._tell_stem(protocol.Hurry(next(self._requests), names))

    def tell_taken_out(self, path: str, size: int) -> None:
        """See :class:`zeekfleet.stem.protocol.TakenOut`."""
        self._tell_stem(protocol.TakenOut(next(self._requests), path, size))

    def _tell_stem(self, command: protocol.Command) -> None:
        if self._writer is not None and self._connected.is_set():
            self._writer.write(protocol.encode(command))

    async def _command(self, make: Callable[[int], protocol.Command], timeout: float) -> tuple[dict[str, str], bool]:
        """Give a command; its outcomes, and whether it had to be given again.

        One that the stem refuses is not given again, unless it may have been another that was meant: then it is given
        once more with no other suspect beside it.
        """
        try:
            async with asyncio.timeout(timeout):
                try:
                    done, attempts = await self._give(make)
                except _RefusedError as error:
                    if error.is_certain:
                        raise
                    async with self._suspects:
                        done, attempts = await self._give(make)
                    attempts += 1
                return done.outcomes, attempts > 1
        except TimeoutError as error:
            raise StemError(f"the stem did not answer within {timeout:g} s") from error

    async def _give(self, make: Callable[[int], protocol.Command]) -> tuple[protocol.Done, int]:
        """Give a command until it is answered; the answer, and how often it took."""
        attempts = 0
        while True:
            await self._connected.wait()
            attempts += 1
            if (done := await self._attempt(make)) is not None:
                return done, attempts

    async def _attempt(self, make: Callable[[int], protocol.Command]) -> protocol.Done | None:
        """Give a command once; None if the connection was lost before the answer."""
        if self._over or self._writer is None:
            raise StemError("the stem is not connected")
        request = next(self._requests)
        frame = protocol.encode(make(request))
        if len(frame) > protocol.MAX_FRAME:
            raise StemError(f"a request of {len(frame)} bytes is more than the stem takes")
        answer: asyncio.Future[protocol.Done | None] = asyncio.get_running_loop().create_future()
        self._waiting[request] = answer
        try:
            self._writer.write(frame)
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
            case protocol.Refused(reason=reason) if self._connected.is_set():
                self._refused(reason)
            case protocol.Refused(reason=reason):
                raise _OutdatedError(self._stem_pid, reason)
            case protocol.Welcome(stopping=True):
                graces = sum(report.spec.longest_stop for report in message.nodes)
                raise _LeavingError(self._stem_pid, _SWEEPING + graces, "is stopping its nodes")
            case protocol.Welcome(release=release, running=running) if running != RUNNING and self._replaces:
                raise _OutdatedError(self._stem_pid, f"it runs zeekfleet {release}")
            case protocol.Welcome():
                self._replaces = False
                self.stem = (message.pid, message.running)
                self._connected.set()
                self._tell(lambda: self._welcomed(message))
            case protocol.Done(request=request):
                answer = self._waiting.pop(request, None)
                if answer is not None and not answer.done():
                    answer.set_result(message)
                if request == self._last_request:
                    self._closing = True  # the end of the connection that follows is wanted
            case _:
                self._tell(lambda: self._happened(message))

    def _tell(self, telling: Callable[[], None]) -> None:
        """What goes wrong with those who hear of it is no reason to let the stem go."""
        try:
            telling()
        except Exception:
            logger.exception("what the stem has told was not taken note of")

    def _refused(self, reason: str) -> None:
        """A command of ours was not understood; the stem does not say which."""
        logger.error("the stem refused a request: %s", reason, extra={"error": reason})
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            if not answer.done():
                answer.set_exception(_RefusedError(reason, len(waiting) == 1))

    def _disconnect(self) -> None:
        self._connected.clear()
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            if not answer.done():
                answer.set_result(None)
