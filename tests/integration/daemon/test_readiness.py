"""How a daemon tells that it serves and that it stops: on stdout, to the notify socket, by its exit code."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from support.daemons import Daemon, processes_mentioning
from support.ports import free_ports
from zeekfleet.client.link import Retry, connect


def command(verb: str, root: Path) -> tuple[str, ...]:
    clients, agents = (str(port) for port in free_ports(2))
    places = ("--state-dir", str(root / "state"))
    spool = ("--spool-dir", str(root / "spool"))
    match verb:
        case "controller":
            return ("controller", *places, *spool, "--name", "c", "--websocket-port", clients, "--port", agents)
        case "agent":
            links = ("--controller", "none", "--port", "0", "--supervisor-port", "0")
            return ("agent", *places, *spool, "--name", "a", *links, "--engine", "sim")
        case "up":
            ports = ("--websocket-port", clients, "--controller-port", agents, "--agent-port", "0")
            links = ("--controller", f"127.0.0.1:{agents}", "--supervisor-port", "0", "--engine", "sim")
            return ("up", *places, *spool, *ports, *links, "--agent-name", "a", "--controller-name", "c")
    file = root / "nodes.toml"
    file.write_text('[[node]]\nname = "sleeper"\ncommand = ["sleep", "1000"]\n')
    return ("supervise", str(file), *places)


@pytest.mark.parametrize(
    ("verb", "number"),
    [
        *((verb, signal.SIGTERM) for verb in ("controller", "agent", "up", "supervise")),
        *((verb, signal.SIGINT) for verb in ("controller", "up")),
        *(pytest.param(verb, signal.SIGINT, marks=pytest.mark.long) for verb in ("agent", "supervise")),
    ],
)
def test_from_ready_to_the_end(tmp_path: Path, verb: str, number: signal.Signals) -> None:
    with Daemon(tmp_path / "output", *command(verb, tmp_path)) as daemon:
        told = daemon.told("READY=1")
        assert daemon.stdout.count("ready: ") == 1
        (line,) = daemon.stdout.splitlines()
        assert f"STATUS={line.removeprefix('ready: ')}" in told.splitlines()
        daemon.process.send_signal(number)
        daemon.told("STOPPING=1")
        assert daemon.wait() == 0
        assert daemon.stdout.splitlines() == [line]
        assert "Traceback" not in daemon.stderr
    assert processes_mentioning(str(tmp_path)) == {}


def test_a_notify_socket_that_nobody_has(tmp_path: Path) -> None:
    for address in ("@nobody-has-this", "/" + "x" * 300):
        arguments = command("controller", tmp_path)
        with Daemon(tmp_path / "output", *arguments, environment={"NOTIFY_SOCKET": address}) as daemon:
            # Nobody is told; that it serves shows by its listener.
            port = int(arguments[arguments.index("--websocket-port") + 1])
            connect("127.0.0.1", port, retry=Retry(delay=0.1, limit=60.0)).close()
            assert daemon.stop() == 0
            assert daemon.stdout.startswith("ready: controller c, ")


def test_a_controller_port_of_zero_is_no_listener(tmp_path: Path) -> None:
    arguments = command("controller", tmp_path)
    with Daemon(tmp_path / "output", *arguments, "--port", "0") as daemon:
        assert "agents" not in daemon.ready()
        assert "clients" in daemon.ready()


@pytest.mark.parametrize("form", [pytest.param("text", marks=pytest.mark.long), "json"])
def test_nodes_and_secrets_stay_private(tmp_path: Path, form: str) -> None:
    """Directories and files with state are for their owner alone."""
    with Daemon(tmp_path / "output", *command("up", tmp_path), "--log-format", form) as daemon:
        daemon.ready()
        state = tmp_path / "state"
        for path in (state, state / "nodes" / "c", state / "nodes" / "a"):
            assert path.stat().st_mode & 0o777 == 0o700, path
        for path in (state / "nodes" / "c" / "controller.sqlite", state / "nodes" / "c" / "settings.json"):
            assert path.stat().st_mode & 0o777 == 0o600, path
        assert (state / "nodes" / "a" / "agent.sock").stat().st_mode & 0o777 == 0o600
        assert daemon.stop() == 0
        assert all(line.startswith("{") == (form == "json") for line in daemon.stderr.splitlines())
