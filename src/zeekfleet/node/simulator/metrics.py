"""The simulated node's Prometheus port: the smallest HTTP server that a scraper is content with."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import Mapping

from zeekfleet.errors import ListenError
from zeekfleet.model.defaults import LOOPBACK

LARGEST_HEAD = 16 * 1024
HEAD_TIMEOUT = 5.0
MOST_CONNECTIONS = 32

_HELP = {
    "zeekfleet_simulated_node_info": ("gauge", "What this process is; always 1."),
    "zeekfleet_simulated_node_agent_connected": ("gauge", "Whether the link to the agent is up."),
    "zeekfleet_simulated_node_dispatches_total": ("counter", "Dispatch requests answered."),
    "process_start_time_seconds": ("gauge", "Start time of the process since the epoch."),
    "process_cpu_seconds_total": ("counter", "User and system CPU time spent."),
    "process_resident_memory_bytes": ("gauge", "Largest resident memory so far."),
}


class Metrics:
    """What is told, and the server that tells it.

    Args:
        labels: of the information metric.
    """

    def __init__(self, labels: Mapping[str, str]) -> None:
        self.connected = False
        self.dispatches = 0
        self._labels = labels
        self._started = time.time()
        self._connections = 0

    async def serve(self, port: int) -> asyncio.Server:
        """Answer ``GET /metrics`` on loopback.

        Raises:
            ListenError: the port cannot be bound.
        """
        try:
            return await asyncio.start_server(self._answer, LOOPBACK, port, limit=LARGEST_HEAD)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)  # asyncio's own text repeats the address
            raise ListenError(LOOPBACK, port, reason) from error

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

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections <= MOST_CONNECTIONS:
                async with asyncio.timeout(HEAD_TIMEOUT):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(self._response(head))
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        finally:
            self._connections -= 1
            writer.close()

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
