"""The supervisor's end of the connection to the stem: kept open, and opened again when it is lost."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from zeekfleet.errors import StemError, ZeekfleetError
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.release import RUNNING, Release
from zeekfleet.stem import protocol
from zeekfleet.supervisor import stem
from zeekfleet.system.unix_sockets import unix_peer
from zeekfleet.waiting import Backoff

logger = logging.getLogger(__name__)

_CHUNK = 256 * 1024
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0
_STEADY_AFTER = 5.0
"""Seconds that a connection must last for the next loss to count as the first: it is opened again without a pause."""
_HELLO_TIMEOUT = 15.0
_STEM_END_TIMEOUT = 2.0
"""Seconds that a stem may take to end after it has closed its connections."""
_STEM_CLEANUP_TIMEOUT = 60.0
"""Seconds that a stem may take to end in addition to the graces of its nodes."""
_MAX_STARTS = 5
"""How many stems may end during the greeting before that is an error."""


class _OutdatedError(StemError):
    """The running stem, with this ``pid``, is of another release."""

    def __init__(self, pid: int, reason: str) -> None:
        self.pid = pid
        super().__init__(reason)


class _RefusedError(StemError):
    """The stem did not understand a command on this connection. It does not say which.

    Attributes:
        is_certain: it was this command, because no other was under way.
    """

    def __init__(self, reason: str, is_certain: bool) -> None:
        self.is_certain = is_certain
        super().__init__(f"the stem refused the request: {reason}")


class _LeavingError(StemError):
    """The stem that was found is stopping its nodes, or has just ended.

    Attributes:
        pid: its process.
        patience: seconds to wait for its end.
    """

    def __init__(self, pid: int, patience: float, reason: str) -> None:
        self.pid = pid
        self.patience = patience
        super().__init__(f"the stem with pid {pid} {reason}")


class StemHandle:
    """Sends commands to the stem, and passes on its events.

    Args:
        state: the state directory.
        welcomed: called with the greeting of each connection, before any of its events.
        happened: called with every event, in order.

    Attributes:
        stem: pid and release of the stem that greeted last; the release is None if the stem did not tell it.
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
        self._one_by_one = asyncio.Lock()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._frames = protocol.FrameReader()
        self._closing = False
        self._last_request = 0
        self._stem_pid = 0
        self._replaces = True
        self.stem: tuple[int, Release | None] = (0, None)

    async def connect(self) -> None:
        """Find or start the stem, and exchange greetings.

        The first time, a stem of another release is replaced; its nodes run on. Later, another release is accepted:
        when the files on disk are upgraded while this process runs, every stem it starts is of the new release.
        A stem that is stopping its nodes is left to end, and a new one is started.

        Raises:
            StateDirectoryError: the state directory cannot be used.
            StemError: the stem could not be started, or does not answer.
        """
        for _ in range(_MAX_STARTS):
            try:
                return await self._greet()
            except _OutdatedError as error:
                logger.info("replacing the stem: %s", error, extra={"error": str(error)})
                self._replaces = False
                self._disconnect()
                await asyncio.to_thread(stem.end, error.pid)
            except _LeavingError as error:
                logger.info("%s; waiting for it to end", error, extra={"error": str(error)})
                self._disconnect()
                if not await stem.ended(error.pid, error.patience):
                    raise StemError(f"{error}, and does not end") from error
        raise StemError(f"the stem of {self._state} has ended {_MAX_STARTS} times before it was ready")

    async def _greet(self) -> None:
        connection = await stem.connect(self._state)
        connection.setblocking(False)
        self._stem_pid, _ = unix_peer(connection)
        self._reader, self._writer = await asyncio.open_unix_connection(sock=connection)
        self._frames = protocol.FrameReader()
        self._writer.write(protocol.encode(protocol.Hello()))
        try:
            async with asyncio.timeout(_HELLO_TIMEOUT):
                while not self._connected.is_set():
                    if not await self._receive():
                        reason = "closed the connection before its greeting"
                        raise _LeavingError(self._stem_pid, _STEM_END_TIMEOUT, reason)
        except TimeoutError as error:
            raise StemError(f"the stem did not greet within {_HELLO_TIMEOUT:g} s") from error

    async def run(self) -> None:
        """Receive; when the connection is lost, find or start the stem again: the first time without a pause.

        Returns after :meth:`close`. Commands that still wait for an answer fail then.
        """
        try:
            await self._run()
        finally:
            self._over = True
            self._disconnect()
            self._connected.set()  # wakes up the commands that wait for a connection

    async def _run(self) -> None:
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
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
            logger.warning("connection to the stem lost; connecting again")
            stem.reap()
            if time.monotonic() - connected_at >= _STEADY_AFTER:
                backoff.reset()
            else:
                await asyncio.sleep(backoff.next())

    def close(self) -> None:
        """Close the connection. The stem and its nodes run on."""
        self._closing = True
        self._disconnect()

    async def create(self, specs: tuple[LaunchSpec, ...], timeout: float) -> dict[str, str]:
        """See :class:`zeekfleet.stem.protocol.Create`. This and the following methods raise StemError at the time-out.

        If the connection is lost before the answer, the command is sent again on the next one. A node that exists by
        then counts as created.
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
        """See :class:`zeekfleet.stem.protocol.Hurry`. There is no answer; without a connection, nothing is sent."""
        self._tell_stem(protocol.Hurry(next(self._requests), names))

    def tell_taken_out(self, path: str, size: int) -> None:
        """See :class:`zeekfleet.stem.protocol.TakenOut`."""
        self._tell_stem(protocol.TakenOut(next(self._requests), path, size))

    def _tell_stem(self, command: protocol.Command) -> None:
        if self._writer is not None and self._connected.is_set():
            self._writer.write(protocol.encode(command))

    async def _command(self, make: Callable[[int], protocol.Command], timeout: float) -> tuple[dict[str, str], bool]:
        """Send a command; its outcomes, and whether it had to be sent more than once.

        A command that the stem refuses is not sent again. But the stem does not say which command it refuses: if
        several were under way, each is sent once more on its own, so that the wrong one is found.
        """
        try:
            async with asyncio.timeout(timeout):
                try:
                    done, attempts = await self._give(make)
                except _RefusedError as error:
                    if error.is_certain:
                        raise
                    async with self._one_by_one:
                        done, attempts = await self._give(make)
                    attempts += 1
                return done.outcomes, attempts > 1
        except TimeoutError as error:
            raise StemError(f"the stem did not answer within {timeout:g} s") from error

    async def _give(self, make: Callable[[int], protocol.Command]) -> tuple[protocol.Done, int]:
        """Send a command until it is answered; the answer, and how often the command was sent."""
        attempts = 0
        while True:
            await self._connected.wait()
            attempts += 1
            if (done := await self._attempt(make)) is not None:
                return done, attempts

    async def _attempt(self, make: Callable[[int], protocol.Command]) -> protocol.Done | None:
        """Send a command once; its answer, or None if the connection was lost before it came."""
        if self._over or self._writer is None:
            raise StemError("the stem is not connected")
        request = next(self._requests)
        frame = protocol.encode(make(request))
        if len(frame) > protocol.MAX_FRAME:
            raise StemError(f"a request of {len(frame)} bytes is larger than the stem takes ({protocol.MAX_FRAME})")
        answer: asyncio.Future[protocol.Done | None] = asyncio.get_running_loop().create_future()
        self._waiting[request] = answer
        try:
            self._writer.write(frame)
            return await answer
        finally:
            self._waiting.pop(request, None)

    async def _receive(self) -> bool:
        """Read and handle the next messages; False at the end of the connection."""
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
                raise _LeavingError(self._stem_pid, _STEM_CLEANUP_TIMEOUT + graces, "is stopping its nodes")
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
                    self._closing = True  # after a shutdown, the stem closes the connection: do not connect again
            case _:
                self._tell(lambda: self._happened(message))

    def _tell(self, telling: Callable[[], None]) -> None:
        """Call a listener. If it raises, that is logged, and the connection to the stem stays."""
        try:
            telling()
        except Exception:
            logger.exception("a message of the stem could not be handled")

    def _refused(self, reason: str) -> None:
        """The stem did not understand one of our commands, and does not say which: fail all that wait."""
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
