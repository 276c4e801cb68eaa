"""One simulated node as a real process, with an agent at the other end."""

from __future__ import annotations

import json
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from zeekfleet.broker import topics
from zeekfleet.broker.events.node import HelloRequest
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.launch import LaunchContext
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import NO_PORT, Address, Port
from zeekfleet.model.variables import AGENT_LINK
from zeekfleet.node.simulator.engine import SimulatorEngine

LOOPBACK = Address("127.0.0.1")


@pytest.fixture
def start(runner: Any, context: Callable[..., LaunchContext]) -> Callable[..., Any]:
    def start(name: str, link: str = "", /, env: dict[str, str] | None = None, **fields: Any) -> Any:
        config = NodeConfig(name=name, env={AGENT_LINK: link, **(env or {})}, **fields)
        return runner.start(SimulatorEngine().launch(config, context(name)))

    return start


@pytest.fixture
def output(context: Callable[..., LaunchContext]) -> Callable[[str, str], str]:
    return lambda name, which: (Path(context(name).directory) / which).read_text()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


async def test_says_what_it_is_and_hello_and_ends_at_sigterm(
    agent: Any, link: str, start: Any, runner: Any, output: Any
) -> None:
    node = start("worker-1", link)
    await agent.until(lambda: agent.hellos)
    assert agent.hellos == ["worker-1"]
    assert agent.added == ["worker-1"]
    node.terminate()
    assert await runner.ended(node) == 0
    await agent.until(lambda: agent.lost)
    assert output("worker-1", "stdout") == "zeekfleet simulated node worker-1: no Zeek, and no traffic is looked at\n"
    assert output("worker-1", "stderr") == ""
    log = output("worker-1", "management-worker-1.log").splitlines()
    assert log[0] == "#separator \\x09"
    assert [line.split("\t")[1:] for line in log if not line.startswith("#")] == [
        ["worker-1", "INFO", "NODE", "node worker-1 is live, simulated"],
        ["worker-1", "INFO", "NODE", "linked to the agent"],
        ["worker-1", "INFO", "NODE", "node worker-1 ends"],
    ]


async def test_answers_dispatches(agent: Any, link: str, start: Any) -> None:
    cluster = {
        "manager": ClusterEndpoint(ClusterRole.MANAGER, LOOPBACK, Port(2200)),
        "worker-1": ClusterEndpoint(ClusterRole.WORKER, LOOPBACK, NO_PORT, interface="eth0"),
    }
    start("worker-1", link, cluster=cluster, interface="eth0", addl_user_scripts=("Notice::mail_dest=x@y",))
    await agent.until(lambda: agent.hellos)
    ids = ("bits_per_uid", "Cluster::node", "Notice::mail_dest", "interfaces", "nosuch", "Zeekfleet::without_value")
    found = {}
    for name in ids:
        agent.dispatch(name, "get_id_value", name)
        found[name] = (await agent.answers_to(name, 1))["worker-1"].result
    assert found["bits_per_uid"].data.data == "96"
    assert found["Cluster::node"].data.data == '"worker-1"'
    assert found["Notice::mail_dest"].data.data == '"x@y"'
    assert found["interfaces"].data.data == '"eth0"'
    assert (found["nosuch"].success, found["nosuch"].error, found["nosuch"].data) == (False, "unknown id", None)
    assert found["Zeekfleet::without_value"].error == "no ID value"
    agent.dispatch("nodes", "get_id_value", "Cluster::nodes")
    nodes = json.loads((await agent.answers_to("nodes", 1))["worker-1"].result.data.data)
    assert nodes["worker-1"]["manager"] == "manager"
    assert nodes["manager"]["p"] == {"port": 2200, "proto": "tcp"}


async def test_twenty_nodes_take_little_memory(agent: Any, link: str, start: Any, record_property: Any) -> None:
    cluster = {f"w{number}": ClusterEndpoint(ClusterRole.WORKER, LOOPBACK, NO_PORT) for number in range(20)}
    processes = [start(name, link, cluster=cluster) for name in cluster]
    await agent.until(lambda: len(agent.hellos) == len(cluster))
    assert sorted(agent.hellos) == sorted(cluster)
    agent.dispatch("1", "get_id_value", "Cluster::node")
    found = await agent.answers_to("1", len(cluster))
    assert {name: answer.result.data.data for name, answer in found.items()} == {name: f'"{name}"' for name in cluster}
    memory = sum(private_kibibytes(process.pid) for process in processes) / len(processes)
    record_property("private_kibibytes_per_node", memory)
    assert memory < 10 * 1024  # well above what is measured, well below what asyncio and the codec would take


def private_kibibytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))


async def test_shows_its_name_in_process_lists(agent: Any, link: str, start: Any) -> None:
    node = start("worker-1", link)
    await agent.until(lambda: agent.hellos)
    assert psutil.Process(node.pid).name() == "sim:worker-1"


async def test_stays_silent_when_not_named(agent: Any, link: str, start: Any) -> None:
    start("worker-1", link)
    await agent.until(lambda: agent.hellos)
    agent.dispatch("not-mine", "get_id_value", "bits_per_uid", nodes=frozenset({"worker-10", "worker"}))
    agent.dispatch("mine", "get_id_value", "bits_per_uid", nodes=frozenset({"worker-1", "other"}))
    await agent.answers_to("mine", 1)
    assert [answer.reqid for answer in agent.answers] == ["mine"]


async def test_says_hello_again_when_asked(agent: Any, link: str, start: Any) -> None:
    start("worker-1", link)
    await agent.until(lambda: agent.hellos)
    agent.endpoint.publish(topics.NODE, HelloRequest())
    await agent.until(lambda: len(agent.hellos) == 2)


async def test_keeps_dialling_until_there_is_an_agent(agent: Any, start: Any) -> None:
    port = free_port()
    start("worker-1", f"127.0.0.1:{port}")
    await agent.endpoint.listen("127.0.0.1", port)
    await agent.until(lambda: agent.hellos)


async def test_says_hello_at_every_connection(agent: Any, link: str, start: Any, output: Any) -> None:
    start("w", link)
    await agent.until(lambda: agent.hellos)
    await agent.restart(link)
    await agent.until(lambda: len(agent.hellos) == 2)
    messages = [line.split("\t")[-1] for line in output("w", "management-w.log").splitlines() if line[0] != "#"]
    assert messages[1] == "linked to the agent"
    assert messages[2].startswith("no link to the agent: ")
    assert messages[-1] == "linked to the agent"


async def test_serves_metrics(agent: Any, link: str, start: Any) -> None:
    port = free_port()
    row = ClusterEndpoint(ClusterRole.WORKER, LOOPBACK, NO_PORT, metrics_port=Port(port))
    start("w", link, cluster={"w": row})
    await agent.until(lambda: agent.hellos)
    agent.dispatch("1", "get_id_value", "bits_per_uid")
    await agent.answers_to("1", 1)

    def scrape(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            return str(answer.read().decode())

    text = scrape("/metrics")
    assert 'zeekfleet_simulated_node_info{node="w",role="WORKER"} 1\n' in text
    assert "zeekfleet_simulated_node_dispatches_total 1\n" in text
    assert "zeekfleet_simulated_node_agent_connected 1\n" in text
    with pytest.raises(urllib.error.HTTPError, match="404"):
        scrape("/other")


async def test_a_metrics_port_in_use_is_named(start: Any, runner: Any, output: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        row = ClusterEndpoint(ClusterRole.WORKER, LOOPBACK, NO_PORT, metrics_port=Port(port))
        assert await runner.ended(start("w", cluster={"w": row})) == 1
    message = f"error: metrics port of node w: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert output("w", "stderr") == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"addl_user_scripts": ("/no/such.zeek",)}, "fatal error: can't find /no/such.zeek\n"),
        (
            {"pcap_file": "/no/such.pcap"},
            "fatal error: problem with trace file /no/such.pcap"
            " (unable to open /no/such.pcap: No such file or directory)\n",
        ),
        (
            {"addl_user_scripts": ("LogAscii::use_json=maybe",)},
            "error in <params>, line 1: type clash in assignment (LogAscii::use_json = maybe)\n",
        ),
        (
            {"env": {AGENT_LINK: "nowhere"}},
            "error: ZEEKFLEET_AGENT_LINK: 'nowhere' is neither unix:PATH nor HOST:PORT\n",
        ),
    ],
    ids=["script", "pcap", "option", "link"],
)
async def test_fails_at_start_as_zeek_does(
    start: Any, runner: Any, output: Any, fields: dict[str, Any], message: str
) -> None:
    assert await runner.ended(start("w", **fields)) == 1
    assert output("w", "stderr") == message


async def test_starts_late_on_request(agent: Any, link: str, start: Any) -> None:
    start("late", link, env={"ZEEKFLEET_SIM_START_DELAY": "1.5"})
    start("prompt", link)
    await agent.until(lambda: len(agent.hellos) == 2)
    assert agent.hellos == ["prompt", "late"]


async def test_fails_at_start_on_request(start: Any, runner: Any, output: Any) -> None:
    assert await runner.ended(start("w", env={"ZEEKFLEET_SIM_FAIL_AT_START": "7"})) == 7
    assert output("w", "stderr") == "error: node w fails at its start, as asked for\n"


async def test_crashes_on_request(agent: Any, link: str, start: Any, runner: Any, output: Any) -> None:
    node = start("w", link, env={"ZEEKFLEET_SIM_CRASH_AFTER": "0.5"})
    assert await runner.ended(node) == -signal.SIGABRT
    assert output("w", "stderr") == "error: node w crashes, as asked for\n"
    await agent.until(lambda: agent.lost)
    assert agent.hellos == ["w"]


async def test_ignores_sigterm_on_request(agent: Any, link: str, start: Any) -> None:
    node = start("w", link, env={"ZEEKFLEET_SIM_IGNORE_SIGTERM": "1"})
    await agent.until(lambda: agent.hellos)
    node.terminate()
    agent.dispatch("after", "get_id_value", "bits_per_uid")
    await agent.answers_to("after", 1)
    assert node.poll() is None


async def test_is_silent_on_request(agent: Any, link: str, start: Any, runner: Any) -> None:
    silent = start("silent", link, env={"ZEEKFLEET_SIM_SILENT": "1"})
    await agent.until(lambda: agent.added)
    agent.dispatch("1", "get_id_value", "bits_per_uid")
    silent.terminate()
    assert await runner.ended(silent) == 0
    await agent.until(lambda: agent.lost)
    assert agent.hellos == []
    assert agent.answers == []


async def test_writes_output_on_request(agent: Any, link: str, start: Any, output: Any) -> None:
    env = {
        "ZEEKFLEET_SIM_OUTPUT": "one\\ntwo",
        "ZEEKFLEET_SIM_ERRORS": "oops",
        "ZEEKFLEET_SIM_OUTPUT_REPEAT": "2",
    }
    start("w", link, env=env)
    await agent.until(lambda: agent.hellos)
    assert output("w", "stdout").splitlines()[1:] == ["one", "two", "one", "two"]
    assert output("w", "stderr") == "oops\noops\n"


async def test_a_bad_behaviour_is_named(start: Any, runner: Any, output: Any) -> None:
    assert await runner.ended(start("w", env={"ZEEKFLEET_SIM_CRASH_AFTER": "soon"})) == 1
    assert (
        output("w", "stderr") == "error: ZEEKFLEET_SIM_CRASH_AFTER: 'soon' is no number of seconds from 0 to a year\n"
    )
