"""The simulated node's Prometheus port: the smallest HTTP server that satisfies a scraper.

The format is simple, and the package ``prometheus-client`` takes longer to import than the whole node takes to start.
"""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Mapping

from zeekfleet.errors import ListenError
from zeekfleet.model.defaults import LOOPBACK
from zeekfleet.node.simulator.loop import READ, Loop
from zeekfleet.system.timers import Timer

LARGEST_HEAD = 16 * 1024
HEAD_TIMEOUT = 5.0
MOST_CONNECTIONS = 32
BACKLOG = 100

_HELP = {
    "zeekfleet_simulated_node_info": ("gauge", "What this process is; always 1."),
    "zeekfleet_simulated_node_agent_connected": ("gauge", "Whether the link to the agent is up."),
    "zeekfleet_simulated_node_dispatches_total": ("counter", "Dispatch requests answered."),
    "process_start_time_seconds": ("gauge", "Start time of the process since the epoch."),
    "process_cpu_seconds_total": ("counter", "User and system CPU time spent."),
    "process_resident_memory_bytes": ("gauge", "Largest resident memory so far."),
}


class Metrics:
    """The metrics, and the server for them.

    Args:
        labels: the labels of the ``info`` metric.

    Attributes:
        connected: whether the link to the agent is up.
        dispatches: how many requests were answered.
    """

    def __init__(self, labels: Mapping[str, str]) -> None:
        self.connected = False
        self.dispatches = 0
        self._labels = labels
        self._started = time.time()
        self._connections: dict[socket.socket, tuple[bytearray, Timer]] = {}

    def serve(self, loop: Loop, port: int) -> None:
        """Answer ``GET /metrics`` on loopback.

        Raises:
            ListenError: the port cannot be bound.
        """
        self._loop = loop
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind((LOOPBACK, port))
            self._listener.listen(BACKLOG)
        except OSError as error:
            self._listener.close()
            raise ListenError(LOOPBACK, port, error.strerror or str(error)) from error
        loop.watch(self._listener, READ, self._accept)

    def text(self) -> str:
        """All metrics in Prometheus' text format."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        labels = ",".join(f'{name}="{_escape(value)}"' for name, value in self._labels.items())
        values = {
            "zeekfleet_simulated_node_info": 1,
            "zeekfleet_simulated_node_agent_connected": int(self.connected),
            "zeekfleet_simulated_node_dispatches_total": self.dispatches,
            "process_start_time_seconds": round(self._started, 3),
            "process_cpu_seconds_total": round(usage.ru_utime + usage.ru_stime, 3),
            "process_resident_memory_bytes": usage.ru_maxrss * 1024,
        }
        lines = []
        for name, value in values.items():
            kind, explanation = _HELP[name]
            shown = f"{name}{{{labels}}}" if name.endswith("_info") else name
            lines += [f"# HELP {name} {explanation}", f"# TYPE {name} {kind}", f"{shown} {value}"]
        return "\n".join(lines) + "\n"

    def _accept(self, _: int) -> None:
        try:
            stream, _address = self._listener.accept()
        except OSError:
            return  # the scraper has closed the connection
        if len(self._connections) >= MOST_CONNECTIONS:
            stream.close()
            return
        stream.setblocking(False)
        self._connections[stream] = bytearray(), self._loop.timers.after(HEAD_TIMEOUT, lambda: self._close(stream))
        self._loop.watch(stream, READ, lambda _: self._read(stream))

    def _read(self, stream: socket.socket) -> None:
        head, _ = self._connections[stream]
        try:
            data = stream.recv(LARGEST_HEAD)
            head += data
            if b"\r\n\r\n" in head:
                stream.send(self._response(bytes(head)))  # shorter than any socket's buffer
            elif data and len(head) < LARGEST_HEAD:
                return
        except BlockingIOError:
            return
        except OSError:
            pass  # the scraper has closed the connection
        self._close(stream)

    def _close(self, stream: socket.socket) -> None:
        _, timer = self._connections.pop(stream)
        timer.cancel()
        self._loop.forget(stream)
        stream.close()

    def _response(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        status, body = "200 OK", self.text()
        if path != b"/metrics":
            status, body = "404 Not Found", "only /metrics is here\n"
        elif method not in (b"GET", b"HEAD"):
            status, body = "405 Method Not Allowed", "only GET and HEAD work here\n"
        content = body.encode()
        fields = (
            f"HTTP/1.1 {status}",
            "Content-Type: text/plain; version=0.0.4; charset=utf-8",
            f"Content-Length: {len(content)}",
            "Connection: close",
        )
        return "\r\n".join(fields).encode() + b"\r\n\r\n" + (b"" if method == b"HEAD" else content)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
