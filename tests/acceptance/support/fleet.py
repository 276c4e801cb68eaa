"""A controller and its agents as processes, and zeek-client to talk to them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processes import Daemon, processes_of

from support.ports import free_ports
from support.waiting import PATIENCE, until

ZEEK_CLIENT = Path(sys.executable).with_name("zeek-client")


@dataclass(frozen=True)
class Answer:
    """What a run of zeek-client came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON document."""
        return json.loads(self.out)

    @property
    def results(self) -> Any:
        return self.json["results"]

    @property
    def errors(self) -> Any:
        return self.json["errors"]


def node(instance: str, role: str, **keys: object) -> dict[str, str]:
    """A node's section."""
    return {"instance": instance, "role": role, **{key: str(value) for key, value in keys.items()}}


def ini(instances: Iterable[str], nodes: Mapping[str, Mapping[str, str]]) -> str:
    """A cluster configuration: instances as lines (``a1`` or ``a1 = 127.0.0.1:2151``), nodes as sections."""
    lines = ["[instances]", *instances]
    for name, keys in nodes.items():
        lines += ["", f"[{name}]", *(f"{key} = {value}" for key, value in keys.items())]
    return "\n".join(lines) + "\n"


SMALL_CLUSTER = {
    "manager": node("here", "manager"),
    "logger": node("here", "logger"),
    "proxy": node("here", "proxy"),
    "worker-1": node("here", "worker", interface="lo"),
    "worker-2": node("here", "worker", interface="lo"),
}
"""Nodes that real Zeeks can be."""


def hub_ports(backend: str) -> dict[str, object]:
    """Options for a hub on free ports; none with a back end that has no hub, where they are refused."""
    if backend != "zeromq":
        return {}
    outgoing, incoming = free_ports(2)
    return {"zeromq_xpub_port": outgoing, "zeromq_xsub_port": incoming}


class Fleet:
    """Daemons below one directory; ports that nobody else uses.

    Attributes:
        client_port: the controller's, for clients.
        agent_port: the controller's, for agents.
        first_port: where the controller starts to assign listening ports.
        first_metrics_port: the same for metrics.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.client_port, self.agent_port = free_ports(2)
        self.first_port = free_ports(16)[0]
        self.first_metrics_port = free_ports(40)[0]
        self.controller: Daemon | None = None
        self.agents: dict[str, Daemon] = {}
        self._others: list[Daemon] = []

    # --- daemons

    def start_controller(self, **options: object) -> Daemon:
        """A controller; options by their names on the command line."""
        given = {
            "name": "controller",
            "state_dir": self.root / "c",
            "spool_dir": self.root / "c-spool",
            "websocket_port": self.client_port,
            "port": self.agent_port,
            "auto_assign_start_port": self.first_port,
            "auto_assign_metrics_start_port": self.first_metrics_port,
            **options,
        }
        self.controller = Daemon("controller", *_options(given))
        return self.controller

    def start_agent(self, name: str | None = "a1", **options: object) -> Daemon:
        """An agent that dials the controller, unless told otherwise; without a name it takes its default one."""
        directory = self.root / (name or "unnamed")
        given = {
            "name": name,
            "state_dir": directory,
            "spool_dir": directory.with_name(f"{directory.name}-spool"),
            "controller": f"127.0.0.1:{self.agent_port}",
            "port": 0,
            "supervisor_port": 0,
            "engine": "sim",
            **options,
        }
        self.agents[directory.name] = Daemon("agent", *_options(given))
        return self.agents[directory.name]

    def start_up(
        self, *words: str, environment: Mapping[str, str] | None = None, before: Sequence[str] = (), **options: object
    ) -> Daemon:
        """``zeekfleet up``: controller and agent ``here`` in one tree.

        Args:
            words: arguments.
            environment: beside our own.
            before: a command that runs the daemon.
            options: by their names on the command line.
        """
        given = {
            "controller_name": "controller",
            "agent_name": "here",
            "state_dir": self.root / "up",
            "spool_dir": self.root / "up-spool",
            "websocket_port": self.client_port,
            "controller_port": self.agent_port,
            "controller": f"127.0.0.1:{self.agent_port}",
            "agent_port": 0,
            "supervisor_port": 0,
            "engine": "sim",
            "auto_assign_start_port": self.first_port,
            "auto_assign_metrics_start_port": self.first_metrics_port,
            **options,
        }
        daemon = Daemon("up", *words, *_options(given), environment=environment, before=before)
        self._others.append(daemon)
        return daemon

    @property
    def daemons(self) -> list[Daemon]:
        """All of them, the controller first."""
        return [*([self.controller] if self.controller else []), *self.agents.values(), *self._others]

    def stop(self) -> None:
        """Stop what runs; everything must end well and leave nothing behind."""
        running = [daemon for daemon in self.daemons if daemon.running]
        for daemon in running:
            daemon.process.send_signal(signal.SIGTERM)
        codes = {repr(daemon): daemon.process.wait(PATIENCE) for daemon in running}
        left = processes_of(self.root)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left, f"processes left behind: {left}"
        assert set(codes.values()) <= {0}, codes

    # --- zeek-client

    def client(self, *words: str, text: str | None = None, settings: Iterable[str] = (), **options: Any) -> Answer:
        """Run zeek-client; ``text`` goes to its standard input."""
        command = [str(ZEEK_CLIENT), "--controller", f"127.0.0.1:{self.client_port}"]
        for setting in (f"client.request_timeout_secs={PATIENCE - 5:g}", *settings):
            command += ["--set", setting]
        done = subprocess.run(
            [*command, *words], input=text, capture_output=True, text=True, timeout=PATIENCE, check=False, **options
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Answer(done.returncode, done.stdout, done.stderr)

    def zeekfleet(self, *words: str, text: str | None = None) -> Answer:
        """Run our own client; ``text`` goes to its standard input."""
        command = (sys.executable, "-m", "zeekfleet", "--controller", f"127.0.0.1:{self.client_port}", *words)
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        return Answer(done.returncode, done.stdout, done.stderr)

    def pki(self, *words: str) -> Answer:
        """``zeekfleet pki`` with the authority of the controller's host."""
        command = (sys.executable, "-m", "zeekfleet", "pki", *words, "--state-dir", str(self.root / "c"))
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr
        return Answer(done.returncode, done.stdout, done.stderr)

    def token(self, name: str, *words: str) -> str:
        """A token for an agent, of the authority of the controller's host."""
        command = (sys.executable, "-m", "zeekfleet", "token", "create", "agent", name, "--json", *words)
        state = ("--state-dir", str(self.root / "c"))
        done = subprocess.run((*command, *state), capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["token"])

    def certify(self, controller: str, agents: Mapping[str, str]) -> None:
        """Make certificates where each daemon looks for its own, by names and addresses."""
        self.pki("init")
        self.pki("issue", "controller", "controller", "--host", controller)
        for name, host in agents.items():
            place = self.root / name / "pki" / "certificates"
            self.pki("issue", "agent", name, "--host", host, "--out", str(place))

    def deploy(self, configuration: str) -> Answer:
        """Deploy, all of which must work."""
        answer = self.client("deploy-config", "-", text=configuration)
        assert answer.code == 0, answer
        assert answer.errors == []
        return answer

    def nodes(self) -> dict[str, dict[str, Any]]:
        """All nodes of all instances by name, the agents' and controller's own entries included."""
        answer = self.client("get-nodes")
        assert answer.code == 0, answer
        return {name: entry for instance in answer.results.values() for name, entry in instance.items()}

    def pids(self) -> dict[str, int]:
        """The pids of the cluster's nodes by name."""
        return {name: entry["pid"] for name, entry in self.nodes().items() if entry["cluster_role"] is not None}

    def wait_for_instances(self, *names: str) -> None:
        """Wait until these have checked in, and no others."""
        until(lambda: sorted(self.client("get-instances").json) == sorted(names), f"instances {names} connected")

    def wait_for_states(self, state: str, *names: str) -> None:
        """Wait until these nodes are in that state.

        An agent that looks for its supervisor may well say meanwhile that it cannot tell.
        """

        def all_there() -> bool:
            results = self.client("get-nodes").results
            known = {name: entry for instance in results.values() for name, entry in instance.items()}
            return all(name in known and known[name]["state"] == state for name in names)

        until(all_there, f"{names} are {state}")


def _options(given: Mapping[str, object]) -> list[str]:
    """The command line; None leaves an option out, and True gives one without a value."""
    words = ((f"--{key.replace('_', '-')}", value) for key, value in given.items() if value is not None)
    return [word for option, value in words for word in ((option,) if value is True else (option, str(value)))]
