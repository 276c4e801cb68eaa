"""The stem's loop: it sleeps until a process ends, a supervisor sends something, or a timer is due."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from zeekfleet.release import RUNNING
from zeekfleet.stem import protocol, sockets
from zeekfleet.stem.connection import Connection
from zeekfleet.stem.forked_spawn import HANDLED
from zeekfleet.stem.node import Intent
from zeekfleet.stem.table import Table
from zeekfleet.system import signalfd
from zeekfleet.system.files import remove
from zeekfleet.system.timers import Timers
from zeekfleet.system.unix_sockets import unix_peer

MAX_MISSED = 1000
"""Events kept while no supervisor is connected."""

MAX_CONNECTIONS = 32


class Server:
    """The stem of one state directory.

    Args:
        state: the directory, which this process has locked.
        log: writes a line.

    Raises:
        OSError: the socket or the records' directory cannot be made.
    """

    def __init__(self, state: Path, log: Callable[[str], None]) -> None:
        self._state = state
        self._log = log
        self._running = True
        self._connections: list[Connection] = []
        self._missed: deque[protocol.Event] = deque(maxlen=MAX_MISSED)
        self._dropped = 0
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._selector = selectors.DefaultSelector()
        self._timers = Timers(time.monotonic)
        self._table = Table(state, self._selector, self._timers, self._emit, log)
        self._signals, self._signals_in = socket.socketpair()
        self._listener = sockets.listen(state / sockets.SOCKET_NAME)

    def start(self) -> None:
        """Listen for signals and supervisors, and take over what an earlier stem left."""
        self._listen_for_signals()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._table.adopt()

    def run(self) -> None:
        """Serve until shut down."""
        while self._running:
            self._settle()
            for key, events in self._selector.select(self._timers.wait()):
                # An earlier callback of this round may have closed the descriptor.
                if self._is_current(key):
                    key.data(events)
            self._timers.run_due()
        remove(self._state / sockets.SOCKET_NAME, self._log)

    def _settle(self) -> None:
        """Write what has changed to disk, then send the messages that were gathered."""
        self._table.flush()
        for connection in list(self._connections):
            connection.flush()

    def _is_current(self, key: selectors.SelectorKey) -> bool:
        now = self._selector.get_map().get(key.fd)
        return now is not None and bool(now.data == key.data)

    # --- signals

    def _listen_for_signals(self) -> None:
        self._signals.setblocking(False)
        self._signals_in.setblocking(False)
        signal.set_wakeup_fd(self._signals_in.fileno(), warn_on_full_buffer=False)
        for number in HANDLED:
            # Handlers instead of SIG_IGN: nodes would inherit that a signal is ignored.
            signal.signal(number, lambda _number, _frame: None)
        self._selector.register(self._signals, selectors.EVENT_READ, self._signalled)
        # Signals are blocked and read from a descriptor: if a hundred children end at once, the loop wakes up once.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, (signal.SIGCHLD,))
        self._ends = signalfd.open_for(signal.SIGCHLD)
        self._selector.register(self._ends, selectors.EVENT_READ, self._child_ended)

    def _child_ended(self, _: int) -> None:
        signalfd.drain(self._ends)
        self._table.reap()

    def _signalled(self, _: int) -> None:
        numbers = self._signals.recv(4096)
        if signal.SIGTERM in numbers:
            self._log("SIGTERM: stopping all nodes")
            self._table.shutdown((), self._stop)

    def _stop(self) -> None:
        for connection in list(self._connections):
            connection.finish()
        self._running = False

    # --- supervisors

    def _emit(self, event: protocol.Event) -> None:
        listeners = [connection for connection in self._connections if connection.welcomed]
        for connection in listeners:
            connection.send(event)
            if connection.should_flush:
                self._table.flush()
                connection.flush()
        if not listeners and not isinstance(event, protocol.Stopping):
            self._dropped += len(self._missed) == MAX_MISSED
            self._missed.append(event)

    def _accept(self, _: int) -> None:
        try:
            stream, _address = self._listener.accept()
        except OSError as error:
            self._log(f"cannot accept a connection: {error.strerror}")
            self._turn_away()
            return
        if len(self._connections) >= MAX_CONNECTIONS or unix_peer(stream)[1] not in (0, os.getuid()):
            stream.close()
            return
        self._connections.append(Connection(stream, self._selector, self._received, self._connections.remove))

    def _turn_away(self) -> None:
        """Without free descriptors, accept a connection with the spare one and close it.

        If it were left waiting, the listening socket would wake the loop again and again.
        """
        os.close(self._spare)
        try:
            self._listener.accept()[0].close()
        except OSError as error:
            self._log(f"cannot turn a connection away: {error.strerror}")
        finally:
            self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _received(self, connection: Connection, body: bytes) -> None:
        try:
            message = protocol.to_stem_decoder.decode(body)
        except msgspec.MsgspecError as error:
            self._refuse(connection, f"message not understood: {error}")
            return
        if isinstance(message, protocol.Hello):
            self._welcome(connection, message)
        elif connection.welcomed:
            self._carry_out(connection, message)
        else:
            self._refuse(connection, "the first message must be a hello")

    def _welcome(self, connection: Connection, hello: protocol.Hello) -> None:
        if hello.version != protocol.VERSION:
            self._refuse(connection, f"version {hello.version} is not spoken here, but {protocol.VERSION}")
            return
        # First carry out commands that other supervisors have sent already, so that the welcome shows their effect.
        for other in [each for each in self._connections if each is not connection]:
            other.read_all()
        connection.welcomed = True
        missed, dropped = tuple(self._missed), self._dropped
        self._missed.clear()
        self._dropped = 0
        welcome = protocol.Welcome(
            version=protocol.VERSION,
            pid=os.getpid(),
            nodes=self._table.reports(),
            missed=missed,
            dropped=dropped,
            release=str(RUNNING),
            running=RUNNING,
            stopping=self._table.is_shutting_down,
            changes_user=True,
        )
        connection.send(welcome)

    def _refuse(self, connection: Connection, reason: str) -> None:
        self._log(f"commander refused: {reason}")
        connection.send(protocol.Refused(reason))
        connection.finish()

    def _carry_out(self, connection: Connection, command: protocol.Command) -> None:
        def done(outcomes: dict[str, str]) -> None:
            connection.send(protocol.Done(command.request, outcomes))
            if isinstance(command, protocol.Destroy) and not connection.is_open:
                for name in (name for name, problem in outcomes.items() if not problem):
                    self._emit(protocol.Gone(name))

        def stopped() -> None:
            done({})
            self._stop()

        match command:
            case protocol.Create(specs=specs):
                self._table.create(specs, done)
            case protocol.Destroy(names=names):
                self._table.stop(names, Intent.DESTROY, done)
            case protocol.Restart(names=names):
                self._table.stop(names, Intent.RESTART, done)
            case protocol.Hurry(names=names):
                self._table.hurry(names)
                done({})
            case protocol.TakenOut(path=path, size=size):
                self._table.taken_out(path, size)
                done({})
            case protocol.Shutdown(groups=groups, now=now):
                self._table.shutdown(groups, stopped, now)
