"""SIGKILL takes the controller at every write that a stage and a deploy make; an agent and its nodes run all along.

Whatever was acknowledged is there afterwards, nothing is half applied, and in the end the nodes run what DEPLOYED says.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemons import Daemon
from support.ports import free_ports
from zeekfleet.broker import topics
from zeekfleet.broker.events import controller as api
from zeekfleet.broker.events import supervisor as supervisor_api
from zeekfleet.client.link import Link, Retry, connect
from zeekfleet.client.verbs.get_config import read_configuration
from zeekfleet.client.verbs.get_instances import read_instances
from zeekfleet.client.verbs.get_nodes import read_nodes
from zeekfleet.errors import TransportError
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node, fresh_id
from zeekfleet.store.interface import ConfigState
from zeekfleet.store.sqlite import SqliteStore

PROGRAM = Path(__file__).with_name("controller_with_faulty_store.py")
ANSWER = 30.0
INSTANCE = "a"


class Acknowledged:
    """What a client was told before the controller died."""

    staged: str | None = None
    deployed: str | None = None


class Site:
    """One agent for good, and one controller after the other, on the same ports and state."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clients, self.agents, self.metrics = free_ports(3)
        self.state = root / "controller"
        self.supervisor = 0
        self._lives = 0

    def agent(self) -> Daemon:
        places = ("--state-dir", str(self.root / "agent"), "--spool-dir", str(self.root / "spool"))
        links = ("--controller", f"127.0.0.1:{self.agents}", "--port", "0", "--supervisor-port", "0")
        options = ("--name", INSTANCE, *places, *links, "--engine", "sim")
        return Daemon(self.root / "agent-output", "agent", *options)

    def controller(self, fault: str = "") -> Daemon:
        self._lives += 1
        return Daemon(
            self.root / f"life-{self._lives}",
            str(self.state), str(self.clients), str(self.agents), str(self.metrics),
            environment={"ZEEKFLEET_TEST_STORE_FAULT": fault} if fault else {},
            command=(sys.executable, str(PROGRAM)),
        )  # fmt: skip

    def link(self) -> Link:
        return connect(
            "127.0.0.1",
            self.clients,
            (topics.CONTROLLER, topics.AGENT_PREFIX, topics.DEPLOYMENTS),
            retry=Retry(attempts=10, delay=2),
        )


def configuration(number: int) -> Configuration:
    """Each with nodes and variables of its own, so that a mixture of two is seen."""
    nodes = [
        Node("manager", INSTANCE, ClusterRole.MANAGER, State.RUNNING, env={"ROUND": str(number)}),
        Node(f"worker-{number % 2}", INSTANCE, ClusterRole.WORKER, State.RUNNING, env={"ROUND": str(number)}),
    ]
    return Configuration(f"round-{number}", (Instance(INSTANCE),), tuple(nodes))


def stage(link: Link, wanted: Configuration) -> None:
    response = link.request(api.StageConfigurationRequest(fresh_id(), wanted), ANSWER)
    assert isinstance(response, api.StageConfigurationResponse)
    assert [result.error for result in response.results] == [None]


def deploy(link: Link) -> None:
    """The controller deploys what it finds by itself; where that is under way, wait for the agent's word of it."""
    deadline = time.monotonic() + ANSWER
    while True:
        response = link.request(api.DeployRequest(fresh_id()), ANSWER)
        assert isinstance(response, api.DeployResponse)
        if all(result.success for result in response.results):
            return
        assert time.monotonic() < deadline
        assert all("still pending" in (result.error or "") for result in response.results), response
        link.receive(1.0)


def get_configuration(link: Link, deployed: bool) -> Configuration | None:
    response = link.request(api.GetConfigurationRequest(fresh_id(), deployed), ANSWER)
    assert isinstance(response, api.GetConfigurationResponse)
    if not response.result.success:
        return None
    return read_configuration(response.result)


def wait_for_instance(link: Link) -> None:
    """The agent comes back by itself; whatever the controller hears of it is a reason to look again."""
    while True:
        response = link.request(api.GetInstancesRequest(fresh_id()), ANSWER)
        assert isinstance(response, api.GetInstancesResponse)
        if read_instances(response.result):
            return
        assert link.receive(ANSWER) is not None


def running(link: Link) -> set[str]:
    """The cluster's nodes, all of which are RUNNING."""
    response = link.request(api.GetNodesRequest(fresh_id()), ANSWER)
    assert isinstance(response, api.GetNodesResponse)
    seen = read_nodes(response.results)
    assert seen.ok
    cluster = [node for node in seen.instances[INSTANCE] if node.cluster_role is not ClusterRole.NONE]
    assert all(node.state is State.RUNNING and node.pid for node in cluster)
    return {node.node for node in cluster}


def launched(port: int) -> dict[str, str]:
    """By cluster node, the ROUND that the supervisor has launched it with."""
    with connect("127.0.0.1", port, (topics.SUPERVISOR,)) as link:
        link.publish(supervisor_api.StatusRequest(fresh_id()), topics.SUPERVISOR)
        while (received := link.receive(ANSWER)) is not None:
            if isinstance(received[1], supervisor_api.StatusResponse):
                configs = [status.node for status in received[1].result.nodes.values()]
                return {config.name: config.env["ROUND"] for config in configs if "ROUND" in config.env}
    raise AssertionError("the supervisor does not answer")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("killed"))
    with site.agent() as agent:
        site.supervisor = int(agent.ready().rpartition(":")[2])
        yield site
        assert agent.stop() == 0


def try_to_deploy(site: Site, wanted: Configuration, said: Acknowledged) -> None:
    with site.link() as link:
        wait_for_instance(link)
        stage(link, wanted)
        said.staged = wanted.id
        deploy(link)
        said.deployed = wanted.id


def kept(site: Site) -> dict[ConfigState, Configuration | None]:
    store = SqliteStore(site.state / "nodes" / "c" / "controller.sqlite")
    try:
        return {state: store.get(state) for state in ConfigState}
    finally:
        store.close()


def check_whole(found: Configuration | None, stage: ConfigState) -> None:
    """A configuration is one that a client sent, as a whole."""
    if found is None:
        return
    sent = configuration(int(found.id.removeprefix("round-")))
    if stage is ConfigState.STAGED:
        assert found == sent
        return
    assert [(node.name, node.env) for node in found.nodes] == [(node.name, node.env) for node in sent.nodes]
    assert all(node.metrics_port is not None for node in found.nodes)


# The agent's notifications are writes, too: how many there are until a deployment is told differs from run to run.
QUICK = ["kill-after:1", "kill-before:2"]
ALL = [f"kill-{moment}:{number}" for number in range(1, 41) for moment in ("before", "after")]

rounds = iter(range(1, 10_000))


@pytest.mark.parametrize("fault", [*QUICK, *(pytest.param(f, marks=pytest.mark.long) for f in ALL if f not in QUICK)])
def test_killed_at_a_write(site: Site, fault: str) -> None:
    wanted = configuration(next(rounds))
    said = Acknowledged()
    earlier = kept(site) if site.state.exists() else dict.fromkeys(ConfigState)
    with site.controller(fault) as controller:
        controller.ready()
        try:
            try_to_deploy(site, wanted, said)
            died = not controller.alive
        except TransportError:
            died = True
        if died:
            assert controller.wait() == -signal.SIGKILL, controller.stderr
        else:
            assert said.deployed == wanted.id  # so many writes there were not
            controller.kill()

    # What is on the disk: all that was acknowledged, each state whole, STAGED and READY of one mind.
    found = kept(site)
    for state, content in found.items():
        check_whole(content, state)
        assert content is not None or earlier[state] is None
    ids = {state: content.id if content else None for state, content in found.items()}
    assert ids[ConfigState.STAGED] == ids[ConfigState.READY]
    possible = {wanted.id} if said.staged else {wanted.id, earlier_id(earlier, ConfigState.STAGED)}
    assert ids[ConfigState.STAGED] in possible
    possible = {wanted.id} if said.deployed else {wanted.id, earlier_id(earlier, ConfigState.DEPLOYED)}
    assert ids[ConfigState.DEPLOYED] in possible

    # Another life, without fault: everything works, and what DEPLOYED says runs.
    with site.controller() as controller:
        controller.ready()
        with site.link() as link:
            wait_for_instance(link)
            assert get_configuration(link, deployed=False) == found[ConfigState.STAGED]
            assert get_configuration(link, deployed=True) == found[ConfigState.DEPLOYED]
            if found[ConfigState.STAGED] is None:
                stage(link, wanted)
            deploy(link)
            told = get_configuration(link, deployed=True)
            assert told is not None
            actual = running(link)
        assert controller.stop() == 0
    final = kept(site)[ConfigState.DEPLOYED]
    assert final == told
    assert actual == {node.name for node in final.nodes}
    assert launched(site.supervisor) == dict.fromkeys(actual, final.id.removeprefix("round-"))


def earlier_id(earlier: dict[ConfigState, Configuration | None], state: ConfigState) -> str | None:
    content = earlier[state]
    return content.id if content else None
