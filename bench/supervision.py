"""Supervision side by side: ``python bench/supervision.py [ROUNDS] [RESULTS.json]``, all in one run.

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
from typing import Any

import psutil
from supervision_peers import Zeekfleet, peers, wait_for
from supervision_picture import write

COUNT = 100
IDLE = 20.0
SLOW = 5.0
FEW = 3
SLOW_C = """
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
static void end(int number) { (void)number; usleep(200000); _exit(0); }
int main(void) { signal(SIGTERM, end); for (;;) pause(); }
"""

Results = dict[str, dict[str, tuple[float, int]]]


def median_of(rounds: int, measure: Callable[[], float]) -> tuple[float, int]:
    values = [measure()]
    while len(values) < (rounds if statistics.median(values) < SLOW else FEW):
        values.append(measure())
    return statistics.median(values), len(values)


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def replacement(peer: Any, directory: Path, rounds: int) -> tuple[float, int]:
    """From SIGKILL to the first word of the next process."""
    pipe = directory / "pipe"
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDWR)
    supervised = peer(directory, 1, ["sh", "-c", f"echo $$ >{pipe}; exec sleep 1000"])
    supervised.start()
    pid = _next_pid(descriptor)

    def once() -> float:
        nonlocal pid
        time.sleep(0.05)
        return timed(killed_and_replaced)

    def killed_and_replaced() -> None:
        nonlocal pid
        os.kill(pid, signal.SIGKILL)
        pid = _next_pid(descriptor)

    result = median_of(rounds, once)
    supervised.stop()
    supervised.close()
    os.close(descriptor)
    return result


def _next_pid(descriptor: int) -> int:
    assert select.select([descriptor], [], [], 60)[0], "no replacement"
    return int(os.read(descriptor, 100).split()[-1])


def start_and_stop(peer: Any, directory: Path, rounds: int) -> tuple[tuple[float, int], tuple[float, int]]:
    supervised = peer(directory, COUNT, ["sleep", "1000"])
    starts: list[float] = []
    stops: list[float] = []
    while len(starts) < (rounds if not starts or starts[-1] + stops[-1] < SLOW else FEW):
        starts.append(timed(supervised.start))
        stops.append(timed(supervised.stop))
    supervised.close()
    return (statistics.median(starts), len(starts)), (statistics.median(stops), len(stops))


def slow_stop(peer: Any, directory: Path, rounds: int, program: list[str]) -> tuple[float, int]:
    supervised = peer(directory, COUNT, program)

    def once() -> float:
        supervised.start()
        time.sleep(0.5)  # all have their handlers
        return timed(supervised.stop)

    result = median_of(rounds, once)
    supervised.close()
    return result


def stubborn(directory: Path) -> float:
    """Ten that ignore SIGTERM, with a second of grace each."""
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

        slow = slow_program(root)
        everyone = peers()
        for peer in everyone:
            print(f"measuring {peer.name}", flush=True)
            started, stopped = start_and_stop(peer, place(peer.name), rounds)
            results[peer.name] = {
                "kill to replacement": replacement(peer, place(peer.name), rounds),
                f"start {COUNT}": started,
                f"stop {COUNT}": stopped,
                f"stop {COUNT} that take 200 ms": slow_stop(peer, place(peer.name), rounds, slow),
            }
            print(results[peer.name], flush=True)
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
    for name, value in single.items():
        print(f"{name:<60} {value:10.2f}")
    print(write(results, single, file))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20, Path(sys.argv[2]) if len(sys.argv) > 2 else None)
