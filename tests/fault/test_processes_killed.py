"""SIGKILL to each process of a tree: nodes run on, what is gone comes back and finds them, nothing is doubled."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.daemons import Daemon, processes_mentioning, wait_for_end_of
from support.ports import free_ports
from zeekfleet.broker import topics
from zeekfleet.broker.events import controller as api
from zeekfleet.broker.events import details as details_api
from zeekfleet.broker.events.deployments import DeploymentOutcome
from zeekfleet.client.link import Link, Retry, connect
from zeekfleet.client.verbs.get_nodes import read_nodes
from zeekfleet.client.verbs.status import read_histories
from zeekfleet.model.enums import ClusterRole, Role, State
from zeekfleet.model.management import Configuration, Instance, Node, NodeStatus, fresh_id

ANSWER = 30.0
AGENT = "a"
NODES = ("manager", "worker-1", "worker-2")


class Site:
    """A controller and an agent's tree with three nodes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clients, self.agents = free_ports(2)
        self._lives = 0

    def controller(self) -> Daemon:
        return self._daemon(
            "controller", "--name", "c", "--state-dir", str(self.root / "controller"),
            "--websocket-port", str(self.clients), "--port", str(self.agents),
            "--auto-assign-metrics-ports", "no",
        )  # fmt: skip

    def agent(self) -> Daemon:
        return self._daemon(
            "agent", "--name", AGENT, "--state-dir", str(self.root / "agent"), "--engine", "sim",
            "--controller", f"127.0.0.1:{self.agents}", "--port", "0", "--supervisor-port", "0",
        )  # fmt: skip

    def _daemon(self, *arguments: str) -> Daemon:
        self._lives += 1
        spool = ("--spool-dir", str(self.root / "spool"))
        return Daemon(self.root / f"output-{self._lives}", *arguments, *spool)

    def link(self) -> Link:
        return connect(
            "127.0.0.1",
            self.clients,
            (topics.CONTROLLER, topics.AGENT_PREFIX, topics.DEPLOYMENTS),
            retry=Retry(attempts=10, delay=2),
        )

    def left(self) -> dict[int, str]:
        """Processes of the agent's tree."""
        return processes_mentioning(str(self.root / "agent"))


def deploy(link: Link) -> None:
    roles = (ClusterRole.MANAGER, ClusterRole.WORKER, ClusterRole.WORKER)
    nodes = tuple(Node(name, AGENT, role, State.RUNNING) for name, role in zip(NODES, roles, strict=True))
    staged = link.request(
        api.StageConfigurationRequest(fresh_id(), Configuration("x", (Instance(AGENT),), nodes)), ANSWER
    )
    assert isinstance(staged, api.StageConfigurationResponse)
    assert all(result.success for result in staged.results), staged
    deployed = link.request(api.DeployRequest(fresh_id()), ANSWER)
    assert isinstance(deployed, api.DeployResponse)
    assert all(result.success for result in deployed.results), deployed


def nodes(link: Link) -> dict[str, NodeStatus]:
    """What the agent tells, or nothing while there is none."""
    response = link.request(api.GetNodesRequest(fresh_id()), ANSWER)
    assert isinstance(response, api.GetNodesResponse)
    return {status.node: status for status in read_nodes(response.results).instances.get(AGENT, ())}


def nodes_when(link: Link, wanted: Callable[[dict[str, NodeStatus]], bool]) -> dict[str, NodeStatus]:
    """What the agent tells once it is as wanted.

    Looked at anew whenever the controller or the agent says something, and after a second: an agent whose
    supervisor is away answers late, and what is said meanwhile is not heard.
    """
    deadline = time.monotonic() + ANSWER
    while not wanted(found := nodes(link)):
        assert time.monotonic() < deadline, found
        link.receive(1.0)
    return found


def running_since(link: Link) -> dict[str, float]:
    response = link.request(details_api.ControllerStatusRequest(fresh_id()), ANSWER)
    assert isinstance(response, details_api.ControllerStatusResponse)
    reports = read_histories(response.results).instances[AGENT]
    return {report.node: report.since for report in reports if report.state is State.RUNNING}


def all_running(found: dict[str, NodeStatus]) -> bool:
    return {*NODES} <= found.keys() and all(status.state is State.RUNNING and status.pid for status in found.values())


def pids(found: dict[str, NodeStatus]) -> dict[str, int | None]:
    return {name: status.pid for name, status in found.items() if status.mgmt_role is not Role.AGENT}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    assert site.left() == {}


def test_agent_killed(site: Site) -> None:
    with site.controller() as controller, site.agent() as tree:
        controller.ready()
        tree.ready()
        with site.link() as link:
            nodes_when(link, lambda found: AGENT in found)
            deploy(link)
            before = nodes_when(link, all_running)
            since = running_since(link)
            found = before
            for _ in range(2):
                agent = found[AGENT].pid
                assert agent is not None
                os.kill(agent, signal.SIGKILL)
                assert wait_for_end_of(agent)
                found = nodes_when(link, lambda now, gone=agent: all_running(now) and now[AGENT].pid != gone)  # type: ignore[misc]
                assert pids(found) == pids(before)
                # They have not begun to run when the agent came back.
                assert all(time <= since[name] for name, time in running_since(link).items()), since
            deploy(link)
            assert pids(nodes(link)) == pids(before)  # the same configuration touches nothing
        assert tree.stop() == 0
        assert controller.stop() == 0


def test_supervisor_killed(site: Site) -> None:
    with site.controller() as controller:
        controller.ready()
        with site.link() as link:
            with site.agent() as tree:
                tree.ready()
                nodes_when(link, lambda found: AGENT in found)
                deploy(link)
                before = nodes_when(link, all_running)
                tree.kill()
            for pid in pids(before).values():
                assert pid is not None
                os.kill(pid, 0)  # they run on
            processes = len(site.left())
            with site.agent() as tree:
                tree.ready()
                after = nodes_when(link, all_running)
                assert pids(after) == pids(before)
                assert after[AGENT].pid == before[AGENT].pid  # the agent is found again like the nodes
                assert len(site.left()) == processes + 1  # that supervisor; neither node nor agent twice
                deploy(link)
                assert pids(nodes(link)) == pids(before)
                assert tree.stop() == 0
            assert site.left() == {}
            for pid in pids(before).values():
                assert pid is not None
                with pytest.raises(ProcessLookupError):
                    os.kill(pid, 0)
        assert controller.stop() == 0


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_controller_killed_and_started_again(site: Site, how: str) -> None:
    with site.agent() as tree:
        tree.ready()
        with site.controller() as controller:
            controller.ready()
            with site.link() as link:
                nodes_when(link, lambda found: AGENT in found)
                deploy(link)
                before = nodes_when(link, all_running)
            if how == "kill":
                controller.kill()
            else:
                assert controller.stop() == 0
        with site.controller() as controller:
            controller.ready()
            with site.link() as link:
                # The persisted configuration is deployed again by itself: the agent says that it runs it.
                while (received := link.receive(ANSWER)) is not None:
                    if isinstance(received[1], DeploymentOutcome):
                        assert received[1].success
                        break
                assert received is not None
                after = nodes_when(link, all_running)
                assert pids(after) == pids(before)
                assert after[AGENT].pid == before[AGENT].pid
            assert controller.stop() == 0
        assert tree.stop() == 0


def test_supervisor_killed_while_the_agent_is_away(site: Site) -> None:
    """Both at once: the stem alone holds the nodes."""
    with site.controller() as controller:
        controller.ready()
        with site.link() as link:
            with site.agent() as tree:
                tree.ready()
                nodes_when(link, lambda found: AGENT in found)
                deploy(link)
                before = nodes_when(link, all_running)
                agent = before[AGENT].pid
                assert agent is not None
                tree.kill()
                os.kill(agent, signal.SIGKILL)
                assert wait_for_end_of(agent)
            with site.agent() as tree:
                tree.ready()
                after = nodes_when(link, lambda found: all_running(found) and found[AGENT].pid != agent)
                assert pids(after) == pids(before)
                assert tree.stop(signal.SIGINT) == 0
        assert controller.stop(signal.SIGINT) == 0
