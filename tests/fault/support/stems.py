"""A stem of its own, and a commander that does nothing by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from zeekfleet.model.launch import LaunchSpec, RevivalSettings
from zeekfleet.stem import protocol, records, sockets
from zeekfleet.system import unix_sockets

DEADLINE = 30.0
EAGER = RevivalSettings(initial_delay=0.01, max_delay=0.02, loop_limit=100000)


class Commander:
    """A client that does nothing by itself."""

    def __init__(self, state: Path) -> None:
        self.socket = unix_sockets.connect(state / sockets.SOCKET_NAME)
        self.socket.settimeout(DEADLINE)
        self._reader = protocol.FrameReader()
        self._messages: list[protocol.FromStem] = []

    def send(self, message: protocol.Message) -> None:
        self.socket.sendall(protocol.encode(message))

    def receive(self) -> protocol.FromStem:
        while not self._messages:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self._messages += [protocol.from_stem_decoder.decode(body) for body in self._reader.feed(data)]
        return self._messages.pop(0)

    def until(self, kind: type[protocol.Message]) -> protocol.FromStem:
        while not isinstance(message := self.receive(), kind):
            continue
        return message

    def last_words(self) -> list[protocol.FromStem]:
        """All that comes until the stem closes the connection."""
        messages = []
        try:
            while True:
                messages.append(self.receive())
        except (EOFError, ConnectionResetError):
            return messages

    def hello(self) -> protocol.Welcome:
        self.send(protocol.Hello())
        message = self.receive()
        assert isinstance(message, protocol.Welcome)
        return message

    def create(self, spec: LaunchSpec) -> int:
        """Create a node that starts; its process id."""
        self.send(protocol.Create(1, (spec,)))
        started = self.until(protocol.Started)
        assert isinstance(started, protocol.Started)
        assert self.until(protocol.Done) == protocol.Done(1, {spec.name: ""})
        return started.pid


def start(state: Path) -> subprocess.Popen[bytes]:
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "zeekfleet.stem", str(state), str(writer)]
    process = subprocess.Popen(command, pass_fds=(writer,), start_new_session=True)
    os.close(writer)
    with os.fdopen(reader, "rb") as ready:
        assert ready.read() == b"ready"
    return process


@contextmanager
def stem(state: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = start(state)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(DEADLINE)


def spec(state: Path, name: str, *argv: str, revival: RevivalSettings = EAGER) -> LaunchSpec:
    directory = state / "nodes" / name
    return LaunchSpec(
        name=name,
        argv=argv or ("sleep", "1000"),
        env={"PATH": os.environ["PATH"]},
        directory=str(directory),
        stdout_file=str(directory / "stdout"),
        stderr_file=str(directory / "stderr"),
        revival=revival,
    )


def rewrite_process(state: Path, **changes: object) -> None:
    """Change what the journal says of the one process that is in it."""
    path = state / records.DIRECTORY_NAME / records.JOURNAL_NAME
    head, *lines = path.read_bytes().splitlines()
    record = msgspec.json.decode(lines[-1], type=records.ProcessRecord)
    path.write_bytes(head + b"\n" + msgspec.json.encode(msgspec.structs.replace(record, **changes)) + b"\n")
