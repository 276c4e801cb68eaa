"""A warm process that forks nodes cheaper than they can be executed: the contract, and our side of it.

The stem starts ``LaunchSpec.forkserver`` once for each distinct command line, in a
session of its own, with its own standard error, and with one end of a
``SOCK_SEQPACKET`` pair at the descriptor that the environment variable
``ZEEKFLEET_FORKSERVER_FD`` numbers. Its environment is that of the first node that
needs it. Then, for each node:

1. The stem sends one packet, a JSON object::

       {"argv": [text, ...], "env": {text: text}, "directory": path,
        "stdout_file": path, "stderr_file": path, "cpu_affinity": number or null}

   ``env`` is the whole environment. Directory and files exist already.
2. The warm process forks an intermediate process, that forks the node and exits.
   The warm process waits for the intermediate, and only then answers with one packet,
   ``{"pid": number}`` or ``{"error": text}``. So the node has been handed to the stem
   (which is a subreaper) before the stem learns of it, and the stem gets its exit status.
3. The node calls ``setsid``, changes to ``directory``, opens ``/dev/null`` as descriptor
   0 and the files, appending, as 1 and 2, closes the socket and whatever else it
   inherited, restores default signals, pins itself to ``cpu_affinity``, takes ``env``
   as its environment, and becomes what ``argv`` says.
4. Before anything else the node writes ``env``'s ``ZEEKFLEET_LAUNCH`` over the value that the warm process was
   executed with, in place: ``/proc/<pid>/environ`` shows it then, and the next stem knows the launch by it. That
   value is padded, and the last of the environment, so that every mark of a node has room there.

A node with limits or a control group of its own is executed instead: it must have them
before its first instruction (``forking``).

Requests may come before the last one is answered; answers come in the order of the
requests. The warm process ends when the socket is closed. If it ends by itself, it is
started again when next needed; nodes do not notice.
"""

from __future__ import annotations

import selectors
import socket
from collections import deque
from collections.abc import Callable

import msgspec

from zeekfleet.errors import LaunchError
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.stem.launching import birth_of_server, problem_of
from zeekfleet.stem.marks import DESCRIPTOR_VARIABLE
from zeekfleet.stem.spawn import MARK_VARIABLE, failure

_DESCRIPTOR = 3
_LARGEST_ANSWER = 64 * 1024
_SEND_BUFFER = 1024 * 1024


class Request(msgspec.Struct, frozen=True):
    """Fork one node."""

    argv: tuple[str, ...]
    env: dict[str, str]
    directory: str
    stdout_file: str
    stderr_file: str
    cpu_affinity: int | None


class Answer(msgspec.Struct, frozen=True):
    """Exactly one of the two is set."""

    pid: int | None = None
    error: str | None = None


Reply = Callable[[int | str], None]
"""Takes a process id, or why there is none."""


class ForkServer:
    """One warm process.

    Args:
        spec: the first node that needs it.
        mark: tells its unclaimed children from others.
        selector: gets its socket, with a callable taking the event mask as data.
        lost: called once when it is gone, after all pending launches have been failed.

    Raises:
        LaunchError: it cannot be started.
    """

    def __init__(
        self, spec: LaunchSpec, mark: str, selector: selectors.BaseSelector, lost: Callable[[ForkServer], None]
    ) -> None:
        self.argv = spec.forkserver
        self.mark = mark
        self._selector = selector
        self._lost = lost
        self._unsent: deque[bytes] = deque()
        self._waiting: deque[tuple[str, Reply]] = deque()
        try:
            self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            raise failure(spec.name, error, "fork server: ") from error
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        with theirs:
            try:
                self.pid = self._start(spec, theirs)
            except LaunchError:
                self._socket.close()
                raise
        self._socket.setblocking(False)
        self._events = selectors.EVENT_READ
        selector.register(self._socket, self._events, self._ready)

    @property
    def busy(self) -> bool:
        """Whether launches are unanswered."""
        return bool(self._waiting)

    @property
    def marks(self) -> frozenset[str]:
        """What processes carry that it has forked and not told yet, before and after they have taken a node's mark."""
        return frozenset((self.mark, *(mark for mark, _ in self._waiting)))

    def launch(self, spec: LaunchSpec, mark: str, reply: Reply) -> None:
        """Have a node forked; ``reply`` is called later, from the loop.

        Raises:
            LaunchError: the request is too large to send.
        """
        request = Request(
            argv=spec.argv,
            env={**spec.env, MARK_VARIABLE: mark},
            directory=spec.directory,
            stdout_file=spec.stdout_file,
            stderr_file=spec.stderr_file,
            cpu_affinity=spec.cpu_affinity,
        )
        packet = msgspec.json.encode(request)
        # The kernel counts its own bookkeeping into the buffer: half of it is safe to use.
        if len(packet) > self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2:
            raise LaunchError(spec.name, f"its environment and command line take {len(packet)} bytes, too many to send")
        self._unsent.append(packet)
        self._waiting.append((mark, reply))
        self._watch()

    def close(self) -> None:
        """Have it end; pending launches fail."""
        self._lose("fork server was closed")

    def _start(self, spec: LaunchSpec, theirs: socket.socket) -> int:
        env = {**spec.env, DESCRIPTOR_VARIABLE: str(_DESCRIPTOR)}
        env.pop(MARK_VARIABLE, None)
        env[MARK_VARIABLE] = self.mark  # the last one, see above
        try:
            birth = birth_of_server(self.argv, env, {1: 2, 2: 2, _DESCRIPTOR: theirs.fileno()})
        except ValueError as error:
            raise LaunchError(spec.name, f"fork server: {error}") from error
        birth.happen()
        if birth.problem is not None:
            raise problem_of(spec.name, birth.problem, "fork server: ") from birth.problem
        return birth.pid

    def _watch(self) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        if events != self._events:
            self._events = events
            self._selector.modify(self._socket, events, self._ready)

    def _ready(self, events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                self._receive()
            if events & selectors.EVENT_WRITE and self._socket.fileno() >= 0:
                self._send()
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, msgspec.MsgspecError) as error:
            self._lose(f"fork server failed: {error}")

    def _receive(self) -> None:
        packet = self._socket.recv(_LARGEST_ANSWER)
        if not packet:
            self._lose("fork server ended")
            return
        answer = msgspec.json.decode(packet, type=Answer)
        if not self._waiting:
            self._lose("fork server answered unasked")
            return
        _, reply = self._waiting.popleft()
        reply(answer.pid if answer.pid is not None else answer.error or "fork server gave no reason")

    def _send(self) -> None:
        while self._unsent:
            self._socket.send(self._unsent[0])
            self._unsent.popleft()
        self._watch()

    def _lose(self, reason: str) -> None:
        if self._socket.fileno() < 0:
            return
        self._selector.unregister(self._socket)
        self._socket.close()
        self._lost(self)
        waiting, self._waiting = self._waiting, deque()
        for _, reply in waiting:
            reply(reason)
