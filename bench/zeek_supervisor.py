"""Zeek's own Supervisor as a peer. It can only run Zeeks, so the others run the same bare-mode Zeek for comparison."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

DEADLINE = 120.0
#: Zeek starts no node again within a second of its last start.
UP = 1.2
LINES = 50_000
SCRIPT = """\
redef exit_only_after_terminate = T;
redef SupervisorControl::enable_listen = T;
redef Broker::default_listen_address = "127.0.0.1";
redef Broker::default_port = 0/tcp;
redef Telemetry::metrics_port = 0/unknown;

global told = open("/dev/null");

event zeek_init()
	{
	if ( Supervisor::is_supervisor() )
		{
		told = open("{hooked}");
		local problem = Supervisor::create(Supervisor::NodeConfig($name="n0", $bare_mode=T, $directory="{directory}"));
		if ( problem != "" )
			Reporter::fatal(problem);
		return;
		}
	local number = 0;
	while ( ++number <= {lines} )
		print number;
	flush_all();
	local pipe = open("{pipe}");
	print pipe, getpid();
	close(pipe);
	}

hook Supervisor::stdout_hook(node: string, message: string)
	{
	print told, message;
	}
"""


class Pipe:
    """The file in which a Zeek writes its pid after it has printed its lines."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "pipe"
        os.mkfifo(self.path)
        self._descriptor = os.open(self.path, os.O_RDWR)

    def next_pid(self) -> int:
        assert select.select([self._descriptor], [], [], DEADLINE)[0], "no Zeek"
        return int(os.read(self._descriptor, 100).split()[-1])

    def close(self) -> None:
        os.close(self._descriptor)


def command(directory: Path, pipe: Pipe, lines: int) -> list[str]:
    """A bare-mode Zeek that prints this many lines; with ``-j``, a Supervisor with one node that does so."""
    script = directory / "node.zeek"
    text = SCRIPT
    values = {"hooked": directory / "hooked", "directory": directory, "pipe": pipe.path, "lines": lines}
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    script.write_text(text)
    zeek = shutil.which("zeek")
    assert zeek is not None
    return [zeek, "-b", str(script)]


class ZeekSupervisor:
    """``zeek -j``, with its one node; ended by SIGTERM."""

    name = "Zeek"

    def __init__(self, directory: Path, count: int, command: list[str], grace: float = 10.0) -> None:
        assert count == 1
        self._directory = directory
        self._command = [command[0], "-j", *command[1:]]

    def start(self) -> None:
        with (self._directory / "stdout").open("wb") as output, (self._directory / "stderr").open("wb") as errors:
            self.process = subprocess.Popen(self._command, cwd=self._directory, stdout=output, stderr=errors)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(DEADLINE)

    def close(self) -> None:
        assert self.process.returncode == 0

    def stem(self) -> int:
        """Its child, the parent of the nodes."""
        return _children(self.process.pid)[0]


class KilledZeek:
    """Seconds from SIGKILL to the next Zeek's ``zeek_init``. Each round starts anew, since Zeek's delays grow."""

    name = "kill to replacement, a Zeek"

    def __init__(self, peer: Any, directory: Path) -> None:
        self._peer = peer
        self._directory = directory

    def once(self) -> dict[str, float]:
        directory = Path(tempfile.mkdtemp(dir=self._directory))
        pipe = Pipe(directory)
        supervised = self._peer(directory, 1, command(directory, pipe, 0))
        supervised.start()
        pid = pipe.next_pid()
        time.sleep(UP)
        found = {}
        stem = supervised.stem() if isinstance(supervised, ZeekSupervisor) else None
        started = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        if stem is not None:
            _wait_for_another(stem, pid)
            found["kill to replacement"] = time.perf_counter() - started
        assert pipe.next_pid() != pid
        found[self.name] = time.perf_counter() - started
        supervised.stop()
        supervised.close()
        pipe.close()
        return found

    def close(self) -> None:
        """End all processes of the round."""


def burst(peer: Any, directory: Path) -> int:
    """How many of the lines that a Zeek prints at once are kept: in the file for ours, by the hook for Zeek's."""
    pipe = Pipe(directory)
    supervised = peer(directory, 1, command(directory, pipe, LINES))
    supervised.start()
    pipe.next_pid()
    time.sleep(1)  # whatever is still under way arrives
    supervised.stop()
    supervised.close()
    pipe.close()
    hooked = directory / "hooked"
    output = hooked if peer is ZeekSupervisor else directory / "state/nodes/n0/stdout"
    expected = {str(number).encode() for number in range(1, LINES + 1)}
    return len(expected.intersection(output.read_bytes().split()))


def idle(directory: Path, seconds: float, wakeups: Any) -> dict[str, float]:
    """Wake-ups of Zeek's Supervisor and of its stem, with one idle node."""
    pipe = Pipe(directory)
    supervised = ZeekSupervisor(directory, 1, command(directory, pipe, 0))
    supervised.start()
    pipe.next_pid()
    time.sleep(2)
    pids = {"supervisor": supervised.process.pid, "stem": supervised.stem()}
    before = {name: wakeups(pid) for name, pid in pids.items()}
    time.sleep(seconds)
    found = {f"wake-ups of Zeek's {name}, one node": float(wakeups(pid) - before[name]) for name, pid in pids.items()}
    supervised.stop()
    supervised.close()
    pipe.close()
    return found


def _wait_for_another(parent: int, pid: int) -> None:
    deadline = time.monotonic() + DEADLINE
    while not any(child != pid for child in _children(parent)):
        assert time.monotonic() < deadline, "no replacement"
        time.sleep(0.0002)


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
