"""Compares supervisors in one run: ``python bench/supervision.py [ROUNDS] [RESULTS.json]``.

Medians; slow peers get fewer rounds where one round takes more than five seconds, and the table says how many.
"""

from __future__ import annotations

import os
import re
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import psutil
from supervision_peers import Bare, Zeekfleet, peers, wait_for, zeek_is_here
from supervision_picture import write
from zeek_supervisor import KilledZeek, ZeekSupervisor
from zeek_supervisor import burst as burst_of_zeek
from zeek_supervisor import idle as idle_zeek

COUNT = 100
IDLE = 20.0
SLOW = 5.0
FEW = 3
BURSTS = 10
SLOW_C = """
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
static void end(int number) { (void)number; usleep(200000); _exit(0); }
int main(void) { signal(SIGTERM, end); for (;;) pause(); }
"""

Results = dict[str, dict[str, tuple[float, int]]]


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


class Killed:
    """Seconds from SIGKILL to the first output of the next process."""

    name = "kill to replacement"

    def __init__(self, peer: Any, directory: Path) -> None:
        pipe = directory / "pipe"
        os.mkfifo(pipe)
        self._descriptor = os.open(pipe, os.O_RDWR)
        self._supervised = peer(directory, 1, ["sh", "-c", f"echo $$ >{pipe}; exec sleep 1000"])
        self._supervised.start()
        self._pid = _next_pid(self._descriptor)

    def once(self) -> dict[str, float]:
        time.sleep(0.05)
        return {self.name: timed(self._replaced)}

    def _replaced(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        self._pid = _next_pid(self._descriptor)

    def close(self) -> None:
        self._supervised.stop()
        self._supervised.close()
        os.close(self._descriptor)


class Many:
    """Start and stop of many children."""

    def __init__(self, peer: Any, directory: Path) -> None:
        self._supervised = peer(directory, COUNT, ["sleep", "1000"])

    def once(self) -> dict[str, float]:
        start, stop = timed(self._supervised.start), timed(self._supervised.stop)
        return {f"start {COUNT}": start, f"stop {COUNT}": stop, f"start and stop {COUNT}": start + stop}

    def close(self) -> None:
        self._supervised.close()


class Slow:
    """Stop of many children that end slowly."""

    program: ClassVar[list[str]] = []

    def __init__(self, peer: Any, directory: Path) -> None:
        self._supervised = peer(directory, COUNT, self.program)

    def once(self) -> dict[str, float]:
        self._supervised.start()
        time.sleep(0.5)  # all have their handlers
        return {f"stop {COUNT} that take 200 ms": timed(self._supervised.stop)}

    def close(self) -> None:
        self._supervised.close()


def measure(kind: Any, everyone: list[Any], place: Callable[[str], Path], rounds: int, results: Results) -> None:
    """Measure all peers in each round, so that other load on the machine affects all of them alike."""
    running = {peer.name: kind(peer, place(peer.name)) for peer in everyone}
    values: dict[str, dict[str, list[float]]] = {name: {} for name in running}
    slow: set[str] = set()
    for number in range(rounds):
        for name, one in running.items():
            if name in slow and number >= FEW:
                continue
            for what, value in one.once().items():
                values[name].setdefault(what, []).append(value)
                if value > SLOW:
                    slow.add(name)
    for name, one in running.items():
        one.close()
        for what, found in values[name].items():
            results.setdefault(name, {})[what] = (statistics.median(found), len(found))
            print(f"{name:<12} {what:<32} {statistics.median(found) * 1000:10.1f} ms ({len(found)})", flush=True)


def _next_pid(descriptor: int) -> int:
    assert select.select([descriptor], [], [], 60)[0], "no replacement"
    return int(os.read(descriptor, 100).split()[-1])


def stubborn(directory: Path) -> float:
    """Stop of ten children that ignore SIGTERM, with a grace of one second each."""
    supervised = Zeekfleet(directory, 10, ["sh", "-c", "trap '' TERM; while :; do sleep 1000; done"], grace=1.0)
    supervised.start()
    time.sleep(0.5)
    took = timed(supervised.stop)
    supervised.close()
    return took


def idle(directory: Path) -> dict[str, float]:
    """Wake-ups of supervisor and stem in ``IDLE`` seconds with ``COUNT`` children, and their memory."""
    file = directory / "nodes.toml"
    file.write_text("".join(f'[[node]]\nname = "n{n}"\ncommand = ["sleep", "1000"]\n' for n in range(COUNT)))
    command = [sys.executable, "-m", "zeekfleet", "supervise", str(file), "--state-dir", str(directory / "state")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"ready")
        stem = next(child for child in psutil.Process(process.pid).children() if "zeekfleet.stem" in child.cmdline())
        time.sleep(2)
        before = {pid: wakeups(pid) for pid in (process.pid, stem.pid)}
        time.sleep(IDLE)
        found = {
            "wake-ups of the supervisor": wakeups(process.pid) - before[process.pid],
            "wake-ups of the stem": wakeups(stem.pid) - before[stem.pid],
            "memory of the stem, MiB": stem.memory_info().rss / 2**20,
        }
        process.terminate()
        process.wait(60)
    return found


def wakeups(pid: int) -> int:
    """Voluntary context switches of all threads."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        found = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status.read_text(), re.MULTILINE)
        assert found is not None
        total += int(found.group(1))
    return total


def idle_of_peer(peer: Any, directory: Path) -> float:
    supervised = peer(directory, COUNT, ["sleep", "1000"])
    supervised.start()
    time.sleep(2)
    before = wakeups(supervised.process.pid)
    time.sleep(IDLE)
    found = wakeups(supervised.process.pid) - before
    supervised.stop()
    supervised.close()
    return found


def burst(directory: Path) -> tuple[int, bool]:
    """Lines kept of 50,000, and whether the exit report has the last hundred."""
    supervised = Zeekfleet(directory, 1, ["sh", "-c", "seq 1 50000; exec sleep 1000"])
    exits: list[Any] = []
    supervised.supervisor.on_node_exit(exits.append)
    supervised.start()
    output = directory / "state/nodes/n0/stdout"
    wait_for(lambda: output.read_bytes().endswith(b"\n50000\n"))
    supervised.stop()
    kept = len(output.read_bytes().split())
    supervised.close()
    return kept, exits[0].outputs.stdout.split() == [str(n) for n in range(49901, 50001)]


def bursts_of_zeek(place: Callable[[str], Path], rounds: int) -> dict[str, float]:
    """Lines kept of what a Zeek prints at once, by each: the least and the median of all rounds."""
    kept: dict[str, list[int]] = {}
    for _ in range(rounds):
        for peer in (Zeekfleet, ZeekSupervisor):
            kept.setdefault(peer.name, []).append(burst_of_zeek(peer, place("burst")))
    print(f"lines kept: {kept}")
    return {
        f"lines kept of 50000 that a Zeek prints, {name}, {what}": float(of(found))
        for name, found in kept.items()
        for what, of in (("median", statistics.median), ("least", min))
    }


def slow_program(directory: Path) -> list[str]:
    source = directory / "slow.c"
    source.write_text(SLOW_C)
    subprocess.run(["cc", "-O1", "-o", str(directory / "slow"), str(source)], check=True)
    return [str(directory / "slow")]


def main(rounds: int, file: Path | None) -> None:
    """Measure, print, and write the picture and the figures."""
    results: Results = {}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)

        def place(name: str) -> Path:
            directory = root / f"{len(list(root.iterdir()))}-{name.replace(' ', '-')}"
            directory.mkdir()
            return directory

        Slow.program = slow_program(root)
        everyone = peers()
        for kind in (Killed, Many, Slow):
            measure(kind, everyone, place, rounds, results)
        zeek = zeek_is_here()
        if zeek:
            measure(KilledZeek, [Zeekfleet, Bare, ZeekSupervisor], place, rounds, results)
        ours = idle(place("idle"))
        others = {peer.name: idle_of_peer(peer, place("idle")) for peer in everyone if peer is not Zeekfleet}
        kept, reported = burst(place("burst"))
        single = {
            "ten that ignore SIGTERM, 1 s grace each, seconds": stubborn(place("stubborn")),
            **ours,
            **{f"wake-ups of {name}": float(value) for name, value in others.items()},
            "lines kept of a burst of 50000": float(kept),
            "last 100 lines in the exit report": float(reported),
        }
        if zeek:
            single |= idle_zeek(place("idle"), IDLE, wakeups)
            single |= bursts_of_zeek(place, min(rounds, BURSTS))
    for name, value in single.items():
        print(f"{name:<60} {value:10.2f}")
    print(write(results, single, file))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20, Path(sys.argv[2]) if len(sys.argv) > 2 else None)
