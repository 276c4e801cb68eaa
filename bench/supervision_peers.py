"""Supervisors behind one interface: start and stop a number of children that run the same command."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zeekfleet.model.launch import RevivalSettings
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.supervisor import CommandEngine, Supervisor
from zeekfleet.system.ports import reserve_any

DEADLINE = 120.0
AT_ONCE = RevivalSettings(initial_delay=0, max_delay=0, loop_limit=10**6)
HERE = Path(__file__).parent


class Zeekfleet:
    """The Python API in this process, and its stem."""

    name = "zeekfleet"

    def __init__(self, directory: Path, count: int, command: Sequence[str], grace: float = 10.0) -> None:
        self._engine = CommandEngine(command, revival=AT_ONCE, grace=grace)
        self._configs = [NodeConfig(name=f"n{number}") for number in range(count)]
        self._loop = asyncio.new_event_loop()
        self.supervisor = Supervisor(directory / "state", self._engine)
        self._loop.run_until_complete(self.supervisor.__aenter__())

    def start(self) -> None:
        outcomes = self._loop.run_until_complete(self.supervisor.create_all(self._configs))
        assert not any(outcomes.values()), outcomes

    def stop(self) -> None:
        assert self._loop.run_until_complete(self.supervisor.destroy())

    def close(self) -> None:
        self._loop.run_until_complete(self.supervisor.__aexit__(None, None, None))
        self._loop.close()


class Bare:
    """``bare_loop.py``."""

    name = "bare loop"

    def __init__(self, directory: Path, count: int, command: Sequence[str], grace: float = 10.0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "bare_loop.py"), str(directory), str(count), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self) -> None:
        self._say("start", "started")

    def stop(self) -> None:
        self._say("stop", "stopped")

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(DEADLINE)

    def _say(self, word: str, answer: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == answer


class Supervisord:
    """supervisord, by XML-RPC over its Unix socket."""

    name = "supervisord"

    def __init__(self, directory: Path, count: int, command: Sequence[str], grace: float = 10.0) -> None:
        from xmlrpc.client import ServerProxy

        from supervisor.xmlrpc import SupervisorTransport

        socket = directory / "s.sock"
        program = directory / "child.sh"
        program.write_text("#!/bin/sh\nexec " + " ".join(_quoted(word) for word in command) + "\n")
        program.chmod(0o700)
        (directory / "supervisord.conf").write_text(
            f"[supervisord]\nnodaemon=true\nlogfile={directory}/log\npidfile={directory}/pid\n"
            f"[unix_http_server]\nfile={socket}\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[program:n]\ncommand={program}\nnumprocs={count}\nprocess_name=n%(process_num)d\nautostart=false\n"
            f"autorestart=true\nstartsecs=0\nstopasgroup=true\nstopwaitsecs={int(grace)}\n"
            f"stdout_logfile={directory}/%(process_num)d.out\nstderr_logfile={directory}/%(process_num)d.err\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(directory / "supervisord.conf")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._api: Any = ServerProxy("http://127.0.0.1", SupervisorTransport(None, None, f"unix://{socket}")).supervisor
        wait_for(lambda: socket.exists() and self._api.getState())

    def start(self) -> None:
        self._api.startAllProcesses(True)

    def stop(self) -> None:
        self._api.stopAllProcesses(True)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(DEADLINE)


class Circus:
    """circusd, one watcher, by its own client."""

    name = "circus"

    def __init__(self, directory: Path, count: int, command: Sequence[str], grace: float = 10.0) -> None:
        from circus.client import CircusClient

        with reserve_any("127.0.0.1", 2) as reserved:
            control, publish = reserved.numbers
        program = directory / "child.sh"
        program.write_text("#!/bin/sh\nexec " + " ".join(_quoted(word) for word in command) + "\n")
        program.chmod(0o700)
        (directory / "circus.ini").write_text(
            f"[circus]\nendpoint=tcp://127.0.0.1:{control}\npubsub_endpoint=tcp://127.0.0.1:{publish}\n"
            f"[watcher:n]\ncmd={program}\nnumprocesses={count}\nautostart=false\nwarmup_delay=0\n"
            f"graceful_timeout={int(grace)}\nstop_children=true\n"
            f"stdout_stream.class=FileStream\nstdout_stream.filename={directory}/out\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "circus.circusd", str(directory / "circus.ini")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._client = CircusClient(endpoint=f"tcp://127.0.0.1:{control}", timeout=DEADLINE)
        self._call("list")

    def start(self) -> None:
        self._call("start")

    def stop(self) -> None:
        self._call("stop")

    def close(self) -> None:
        self._client.stop()
        self.process.terminate()
        self.process.wait(DEADLINE)

    def _call(self, command: str) -> None:
        properties = {"name": "n", "waiting": True} if command != "list" else {}
        answer = self._client.call({"command": command, "properties": properties})
        assert answer["status"] == "ok", answer


def peers() -> list[type[Any]]:
    """The supervisors that can be measured here; prints a line for each that cannot."""
    found: list[type[Any]] = [Zeekfleet, Bare]
    for module, peer in (("supervisor", Supervisord), ("circus", Circus)):
        if importlib.util.find_spec(module) is not None:
            found.append(peer)
        else:
            print(f"skipped: {peer.name} is not installed (pip install '.[bench]')")
    return found


def zeek_is_here() -> bool:
    """Whether Zeek's own Supervisor can be measured; prints a line if not."""
    if shutil.which("zeek") is None:
        print("skipped: Zeek's own Supervisor, no zeek on PATH")
        return False
    return True


def wait_for(condition: Any) -> None:
    """Wait until the condition is true and raises nothing."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"
