"""Memory of each part of the example cluster: a supervisor, its stem, a controller, an agent and simulated nodes.

RSS is what a process has in memory, PSS counts pages that processes share in
equal parts. Both are also given as a ratio to a Python that does nothing.

    python bench/memory.py
"""

from __future__ import annotations

import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "cluster.ini"
LIMIT = 125.0
"""MiB of RSS that supervisor, stem, controller and agent may have together."""

START_TIMEOUT = 120.0
REST = 10.0
"""Seconds between the deployment and the measurement, so that work for the deployment is over."""

Memory = tuple[float, float]
"""RSS and PSS, in MiB."""


def memory_of(pid: int) -> Memory:
    """The memory of one process."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    rss, pss = (re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE) for name in ("Rss", "Pss"))
    assert rss is not None
    assert pss is not None
    return int(rss[1]) / 1024, int(pss[1]) / 1024


def children_of(pid: int) -> list[int]:
    """The present child processes of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def part_of(pid: int) -> str:
    """``AGENT`` or ``CONTROLLER`` for these, ``node`` for others under the stem."""
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    marks = [entry.partition(b"=")[2].decode() for entry in environment if entry.startswith(b"ZEEK_MANAGEMENT_NODE=")]
    return marks[0].lower() if marks else "node"


def bare_python() -> Memory:
    """The memory of a Python that does nothing but wait for input."""
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        memory = memory_of(process.pid)
        process.communicate()
    return memory


def free_ports(count: int) -> list[str]:
    """Free ports on loopback."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(found.getsockname()[1]) for found in sockets]
    for found in sockets:
        found.close()
    return ports


def wait_until_deployed(process: subprocess.Popen[str]) -> None:
    """Read the cluster's output until it says that the configuration is deployed."""
    assert process.stdout is not None
    timer = threading.Timer(START_TIMEOUT, process.terminate)
    timer.daemon = True
    timer.start()
    for line in process.stdout:
        if line.startswith("deployed configuration"):
            return
    raise SystemExit("the cluster does not come up")


def show(part: str, memory: Memory, bare: Memory) -> None:
    """One line of the table."""
    (rss, pss), (bare_rss, bare_pss) = memory, bare
    print(f"{part:<28} {rss:8.1f} {rss / bare_rss:7.2f} x {pss:8.1f} {pss / bare_pss:7.2f} x")


def measured(supervisor: int, bare: Memory) -> None:
    """Print each part, and the sum of the four that every host has."""
    (stem,) = [child for child in children_of(supervisor) if children_of(child)]
    parts: dict[str, list[Memory]] = {"supervisor": [memory_of(supervisor)], "stem": [memory_of(stem)]}
    for child in children_of(stem):
        parts.setdefault(part_of(child), []).append(memory_of(child))
    print(f"{'':<28} {'RSS MiB':>8} {'':>9} {'PSS MiB':>8}")
    show("bare Python", bare, bare)
    nodes = parts.pop("node")
    for part, (memory,) in parts.items():
        show(part, memory, bare)
    together = [memory for (memory,) in parts.values()]
    rss, pss = sum(rss for rss, _ in together), sum(pss for _, pss in together)
    show(" + ".join(parts), (rss, pss), bare)
    median = statistics.median(rss for rss, _ in nodes), statistics.median(pss for _, pss in nodes)
    show(f"a simulated node (of {len(nodes)})", median, bare)
    if rss > LIMIT:
        print(f"{rss:.1f} MiB of RSS are more than the {LIMIT:g} aimed at")


def main() -> None:
    """Start the example cluster, measure it, and stop it."""
    bare = bare_python()
    with tempfile.TemporaryDirectory() as directory:
        clients, agents, agent, supervisor = free_ports(4)
        command = [
            sys.executable, "-m", "zeekfleet", "up", str(EXAMPLE), "--engine", "sim",
            "--state-dir", f"{directory}/state", "--spool-dir", f"{directory}/spool", "--log-dir", f"{directory}/logs",
            "--websocket-port", clients, "--controller-port", agents, "--agent-port", agent,
            "--supervisor-port", supervisor,
        ]  # fmt: skip
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ZEEK")}
        with subprocess.Popen(
            command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                wait_until_deployed(process)
                time.sleep(REST)
                measured(process.pid, bare)
            finally:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=START_TIMEOUT)


if __name__ == "__main__":
    main()
