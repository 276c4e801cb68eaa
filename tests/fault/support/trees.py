"""A whole tree, ``zeekfleet up`` with simulated nodes, and a client that asks it."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from support.daemons import Daemon, clean_environment, processes_mentioning
from support.ports import free_ports
from zeekfleet.broker import topics
from zeekfleet.broker.events import controller as api
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.supervisor import StatusRequest, StatusResponse
from zeekfleet.client.link import Link, Retry, connect
from zeekfleet.client.verbs.get_config import read_configuration
from zeekfleet.client.verbs.get_nodes import read_nodes
from zeekfleet.model.enums import ClusterRole, Role, State
from zeekfleet.model.management import Configuration, Instance, Node, NodeStatus, Result, fresh_id

ANSWER = 60.0
"""Seconds that anything may take on a busy machine before a test gives up."""

INSTANCE = "here"


def node(name: str, role: ClusterRole = ClusterRole.WORKER, **environment: str) -> Node:
    """A node of the tree's instance."""
    return Node(name, INSTANCE, role, State.RUNNING, env=environment)


def cluster(*nodes: Node, name: str = "") -> Configuration:
    """A manager, and these; a configuration without a name of its own gets a new one."""
    return Configuration(name or fresh_id(), (Instance(INSTANCE),), (node("manager", ClusterRole.MANAGER), *nodes))


def zeekfleet(*words: str, environment: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run ``zeekfleet``: exit code, standard output, standard error."""
    variables = {**clean_environment(), **(environment or {})}
    line = (sys.executable, "-m", "zeekfleet", *words)
    done = subprocess.run(line, capture_output=True, text=True, timeout=ANSWER, check=False, env=variables)
    return done.returncode, done.stdout, done.stderr


class Tree:
    """One tree; starts when it is entered, and must end well unless it was killed.

    Args:
        root: for its output, and for state and spool where no other place is given.
        options: of ``up``, beside places and ports.
        disk: where state and spool are.
        apart: have the controller run by itself, with its state below ``root``.
        environment: added to the tree's.
        tls: how its clients connect.
        command: what to run instead of ``python -m zeekfleet``.
    """

    def __init__(
        self,
        root: Path,
        *options: str,
        disk: Path | None = None,
        apart: bool = False,
        environment: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        command: tuple[str, ...] = (sys.executable, "-m", "zeekfleet"),
    ) -> None:
        self.root = root
        self.disk = disk or root
        self.state, self.spool = self.disk / "state", self.disk / "spool"
        self._options = options
        self._apart = apart
        self._environment = environment
        self._tls = tls
        self._command = command
        self.clients, self.agents, self.first = free_ports(3)
        self._stack = ExitStack()
        self.daemon: Daemon
        self.heard: list[Event] = []
        """What the agent and others told while a client waited."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            agent = ("--state-dir", str(self.state), "--engine", "sim", "--supervisor-port", "0", *self._options)
            controller = (
                *("--websocket-port", str(self.clients), "--port", str(self.agents)),
                *("--auto-assign-start-port", str(self.first), "--auto-assign-metrics-ports", "no"),
            )
            if self._apart:
                own = ("--name", "controller", "--state-dir", str(self.root / "controller"))
                stack.enter_context(self._start("controller", *own, *controller)).ready()
                dial = ("--name", INSTANCE, "--controller", f"127.0.0.1:{self.agents}", "--port", "0")
                self.daemon = stack.enter_context(self._start("agent", *dial, *agent))
            else:
                names = ("--agent-name", INSTANCE, "--controller-name", "controller", "--agent-port", "0")
                self.daemon = stack.enter_context(self._start("up", *names, *controller, *agent))
            self.daemon.ready()
            self._stack = stack.pop_all()
        return self

    def _start(self, verb: str, *arguments: str) -> Daemon:
        spool = ("--spool-dir", str(self.spool))
        output, environment = self.root / f"output-{verb}", self._environment
        return Daemon(output, verb, *arguments, *spool, environment=environment, command=self._command)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        code: int | None = 0
        with self._stack:
            if self.daemon.alive:
                code = self.daemon.stop()
        if kind is not None:
            # A test that failed may have killed what would have stopped the rest.
            for pid in processes_mentioning(f"{self.state}/"):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        else:
            assert code == 0, self.daemon.stderr

    def again(self, environment: Mapping[str, str] | None = None) -> Tree:
        """Another one on the same state and ports, to be entered after this one was killed.

        Args:
            environment: in place of this one's own.
        """
        variables = self._environment if environment is None else environment
        other = Tree(self.root / "again", *self._options, disk=self.disk, environment=variables, tls=self._tls)
        other.clients, other.agents, other.first = self.clients, self.agents, self.first
        return other

    # --- processes

    def link(self) -> Link:
        """A client's connection, which hears the agents and of deployments, too."""
        return connect(
            "127.0.0.1",
            self.clients,
            (topics.CONTROLLER, topics.AGENT_PREFIX, topics.DEPLOYMENTS),
            tls=self._tls,
            retry=Retry(attempts=20, delay=1),
        )

    def link_at_once(self) -> Link:
        """A client's connection, tried once."""
        return connect("127.0.0.1", self.clients, tls=self._tls, retry=Retry(attempts=1, delay=1))

    @property
    def stem(self) -> psutil.Process:
        """The stem's process."""
        return next(
            child for child in psutil.Process(self.daemon.pid).children() if "zeekfleet.stem" in child.cmdline()
        )

    def log_of(self, role: str) -> str:
        """What the stem, or a process of that name in the tree, wrote on its standard error."""
        file = self.state / "stem.stderr" if role == "stem" else self.state / "nodes" / role / "stderr"
        return file.read_text(errors="replace")

    def command(self, *words: str, environment: Mapping[str, str] | None = None) -> tuple[int, str, str]:
        """Run ``zeekfleet`` as a client: exit code, standard output, standard error."""
        return zeekfleet("--controller", f"127.0.0.1:{self.clients}", *words, environment=environment)

    def status(self) -> dict[str, dict[str, Any]]:
        """``zeekfleet --json status``, by node."""
        code, out, err = self.command("--json", "status")
        assert code in (0, 3), (out, err)  # 3: not all that is wanted runs
        found: dict[str, dict[str, Any]] = json.loads(out)["results"][INSTANCE]
        return found

    def supervisor_answers(self) -> bool:
        """Whether the supervisor tells its status by SupervisorControl."""
        port = int(self.daemon.ready().rpartition("supervisor 127.0.0.1:")[2])
        with connect("127.0.0.1", port, (topics.SUPERVISOR,)) as link:
            link.publish(StatusRequest(fresh_id()), topics.SUPERVISOR)
            while (received := link.receive(ANSWER)) is not None:
                if isinstance(received[1], StatusResponse):
                    return True
        return False

    # --- requests

    def _ask(self, link: Link, request: Event) -> Event:
        """Send a request, and keep what else is heard until the answer."""
        return link.request(request, ANSWER, lambda _, event: self.heard.append(event) is not None)

    def stage(self, link: Link, configuration: Configuration) -> list[Result]:
        """Stage; the results."""
        response = self._ask(link, api.StageConfigurationRequest(fresh_id(), configuration))
        assert isinstance(response, api.StageConfigurationResponse)
        return list(response.results)

    def deploy(self, link: Link, configuration: Configuration | None = None) -> list[Result]:
        """Deploy what is staged, or first stage this, which must work; the results of the deployment."""
        if configuration is not None:
            staged = self.stage(link, configuration)
            assert all(result.success for result in staged), staged
        response = self._ask(link, api.DeployRequest(fresh_id()))
        assert isinstance(response, api.DeployResponse)
        return list(response.results)

    def deploy_request(self, link: Link, configuration: Configuration) -> Event:
        """What deploys this, which is staged already."""
        staged = self.stage(link, configuration)
        assert all(result.success for result in staged), staged
        return api.DeployRequest(fresh_id())

    def deployed(self, link: Link, configuration: Configuration) -> dict[str, int]:
        """Deploy, which must work, and wait until all run; their pids."""
        results = self.deploy(link, configuration)
        assert all(result.success for result in results), results
        return self.running(link, *(each.name for each in configuration.nodes))

    def configuration(self, link: Link, deployed: bool = True) -> Configuration | None:
        """What is deployed, or staged."""
        response = self._ask(link, api.GetConfigurationRequest(fresh_id(), deployed))
        assert isinstance(response, api.GetConfigurationResponse)
        return read_configuration(response.result) if response.result.success else None

    def nodes(self, link: Link, instance: str = INSTANCE) -> dict[str, NodeStatus]:
        """What the agent tells, the tree's own processes included; nothing while there is no agent."""
        response = self._ask(link, api.GetNodesRequest(fresh_id()))
        assert isinstance(response, api.GetNodesResponse)
        return {status.node: status for status in read_nodes(response.results).instances.get(instance, ())}

    def pid_of_role(self, link: Link, role: Role) -> int:
        """The agent's or controller's process."""
        pid = next(status.pid for status in self.nodes(link).values() if status.mgmt_role is role)
        assert pid is not None
        return pid

    def when(
        self, link: Link, wanted: Callable[[dict[str, NodeStatus]], bool], instance: str = INSTANCE
    ) -> dict[str, NodeStatus]:
        """The nodes once they are as wanted; looked at anew whenever somebody says something, or after a second."""
        deadline = time.monotonic() + ANSWER
        while not wanted(found := self.nodes(link, instance)):
            assert time.monotonic() < deadline, found
            if (received := link.receive(1.0)) is not None:
                self.heard.append(received[1])
        return found

    def running(self, link: Link, *names: str) -> dict[str, int]:
        """The pids of these nodes, once all are RUNNING."""
        found = self.when(
            link,
            lambda now: {*names} <= now.keys() and all(now[name].state is State.RUNNING for name in names),
        )
        return {name: found[name].pid or 0 for name in names}

    def hears(self, link: Link, wanted: Callable[[Event], bool]) -> Event:
        """The first event that is wanted, of those that were told while something was waited for, or that come now."""
        deadline = time.monotonic() + ANSWER
        seen = 0
        while True:
            for event in self.heard[seen:]:
                if wanted(event):
                    return event
            seen = len(self.heard)
            assert time.monotonic() < deadline
            if (received := link.receive(1.0)) is not None:
                self.heard.append(received[1])
