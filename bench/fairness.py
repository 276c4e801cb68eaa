"""How long a client waits for its answers beside another one that floods the controller.

The controller is a real one, and alone on its CPU. Both clients share another CPU, on which the one that floods has the
lowest priority: what is measured is how fair the controller is, not how fair the kernel's scheduler is. Each round
measures without and with every kind of flood, so that other work on the machine affects all of them.

    python bench/fairness.py
"""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

from websockets.frames import Frame, Opcode

from zeekfleet.broker import topics
from zeekfleet.broker.events import agent
from zeekfleet.broker.events.controller import GetInstancesRequest, TestTimeoutRequest
from zeekfleet.broker.messages import encode_event

HOST = "127.0.0.1"
ROUNDS = 7
REQUESTS = 400
AIM = 2.0
BATCH = 200
"""Frames that a flood sends at a time."""

UPGRADE = (
    b"GET /v1/messages/json HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def text_frame(text: bytes) -> bytes:
    """As a client sends it."""
    return Frame(Opcode.TEXT, text).serialize(mask=True)


REQUEST = text_frame(encode_event(topics.CONTROLLER, GetInstancesRequest("reqid")))
FLOODS = {
    "requests": (1, REQUEST),
    "requests, 8 connections": (8, REQUEST),
    "requests that wait": (1, text_frame(encode_event(topics.CONTROLLER, TestTimeoutRequest("reqid", True)))),
    "what is forbidden": (1, text_frame(encode_event(topics.agent("a1"), agent.NotifyLog("a1", "x")))),
    "no JSON": (1, text_frame(b"x" * 200)),
    "large frames": (1, text_frame(b'["' + b"x" * 100_000 + b'"]')),
}
"""By name: how many connections, and the frame that is sent again and again."""


def connected(port: int) -> socket.socket:
    """A client's connection, subscribed to the controller's answers."""
    connection = socket.create_connection((HOST, port), timeout=30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(UPGRADE)
    connection.recv(65536)
    connection.sendall(text_frame(f'["{topics.CONTROLLER}"]'.encode()))
    connection.recv(65536)
    return connection


def flood(port: int, kind: str) -> None:
    """Send until killed; answers are read and thrown away."""
    os.nice(19)
    connections, frame = FLOODS[kind]
    batch = frame * max(1, min(BATCH, 2**18 // len(frame)))

    def read(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while connection.recv(2**20):
                pass
        print("flood: the connection has ended", file=sys.stderr)

    def write(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(batch)

    made = [connected(port) for _ in range(connections)]
    print("flooding", flush=True)
    for connection in made:
        for work in (read, write):
            threading.Thread(target=work, args=(connection,), daemon=True).start()
    sys.stdin.read()


@contextlib.contextmanager
def flooding(port: int, kind: str) -> Iterator[None]:
    """A client in a process of its own floods the controller in this way."""
    command = [sys.executable, __file__, "flood", str(port), kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.3)  # until buffers are full
        try:
            yield
        finally:
            process.kill()


def latencies(port: int) -> list[float]:
    """How long each of some requests in a row takes, in seconds. Answers to others are skipped."""
    taken = []
    with connected(port) as connection:
        for number in range(REQUESTS):
            mark = f"mine-{number}."
            request = text_frame(encode_event(topics.CONTROLLER, GetInstancesRequest(mark)))
            heard = b""
            started = time.perf_counter()
            connection.sendall(request)
            while mark.encode() not in heard:
                heard = heard[-100:] + connection.recv(2**20)
            taken.append(time.perf_counter() - started)
    return taken


@contextlib.contextmanager
def controller(cpu: int) -> Iterator[int]:
    """A controller on this CPU, and its port for clients."""
    with socket.create_server((HOST, 0)) as taken:
        port = int(taken.getsockname()[1])
    with tempfile.TemporaryDirectory() as state:
        command = [
            sys.executable,
            "-m",
            "zeekfleet",
            "controller",
            "--state-dir",
            state,
            "--spool-dir",
            f"{state}/spool",
        ]
        command += ["--websocket-port", str(port), "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("ready"):
                    break
            for task in os.listdir(f"/proc/{process.pid}/task"):  # noqa: PTH208 - a controller has few threads
                os.sched_setaffinity(int(task), {cpu})
            try:
                yield port
            finally:
                process.terminate()


def main() -> None:
    """Measure and print."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        sys.exit("two CPUs are needed: one for the controller, one for its clients")
    with controller(cpus[0]) as port:
        os.sched_setaffinity(0, {cpus[1]})
        kinds = sys.argv[1:] or list(FLOODS)
        alone: list[float] = []
        beside: dict[str, list[float]] = {kind: [] for kind in kinds}
        latencies(port)  # once, so that all is loaded
        for _ in range(ROUNDS):
            for kind in kinds:
                alone.append(statistics.median(latencies(port)))
                with flooding(port, kind):
                    beside[kind].append(statistics.median(latencies(port)))
        base = statistics.median(alone)
        print(f"{'alone':<40} {base * 1e6:8.0f} us")
        for kind, medians in beside.items():
            median = statistics.median(medians)
            verdict = "" if median / base <= AIM else f"   MORE than the {AIM:g} x aimed at"
            print(f"{'beside a flood of ' + kind:<40} {median * 1e6:8.0f} us {median / base:6.2f} x{verdict}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["flood"]:
        flood(int(sys.argv[2]), sys.argv[3])
    else:
        main()
