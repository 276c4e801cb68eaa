"""A small cluster of real Zeeks, which the engine launches and which the test reaches through our script."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.ports import free_ports
from zeekfleet.broker import topics
from zeekfleet.broker.events.node import HelloRequest
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.launch import LaunchContext
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import NO_PORT, Address, Port
from zeekfleet.model.variables import WEBSOCKET_PORT
from zeekfleet.node import engines
from zeekfleet.node.zeek.engine import ZeekOptions
from zeekfleet.node.zeek.installation import examine
from zeekfleet.planning.layout import Backend
from zeekfleet.planning.zeek_versions import ZEROMQ_IPV6

pytestmark = [pytest.mark.zeek, pytest.mark.skipif(shutil.which("zeek") is None, reason="no zeek on PATH")]

NODES = {"manager": ClusterRole.MANAGER, "logger": ClusterRole.LOGGER, "worker": ClusterRole.WORKER}
LOOPBACK = Address("127.0.0.1")


@pytest.mark.parametrize("backend", list(Backend), ids=lambda backend: backend.value)
async def test_a_cluster_says_hello_and_answers(
    backend: Backend, agent: Any, runner: Any, context: Callable[..., LaunchContext]
) -> None:
    manager, logger, xpub, xsub, websocket = free_ports(5)
    engine = engines.select("zeek", ZeekOptions(backend, xpub, xsub, user_scripts=()))
    cluster = {
        "manager": ClusterEndpoint(ClusterRole.MANAGER, LOOPBACK, Port(manager)),
        "logger": ClusterEndpoint(ClusterRole.LOGGER, LOOPBACK, Port(logger)),
        "worker": ClusterEndpoint(ClusterRole.WORKER, LOOPBACK, NO_PORT),
    }
    processes: dict[str, subprocess.Popen[bytes]] = {}
    for name in ("logger", "manager", "worker"):
        env = {WEBSOCKET_PORT: str(websocket)} if name == "worker" else {}
        scripts = ("Notice::mail_dest=someone@example.com",)
        config = NodeConfig(name=name, cluster=cluster, env=env, addl_user_scripts=scripts)
        processes[name] = runner.start(engine.launch(config, context(name)))
    agent.endpoint.dial("127.0.0.1", websocket)
    await agent.until(lambda: set(NODES) <= set(agent.hellos))
    # An agent that comes back hears from all of them again, and so does one that asks.
    await agent.stop()
    agent.hellos.clear()
    await agent.start()
    agent.endpoint.dial("127.0.0.1", websocket)
    await agent.until(lambda: set(NODES) <= set(agent.hellos))
    agent.hellos.clear()
    agent.endpoint.publish(topics.NODE, HelloRequest())
    await agent.until(lambda: set(NODES) <= set(agent.hellos))

    agent.dispatch("1", "get_id_value", "Cluster::node")
    found = await agent.answers_to("1", 3)
    assert {node: answer.result.data.data for node, answer in found.items()} == {name: f'"{name}"' for name in NODES}
    only = frozenset({"worker"})
    expected = {
        ("get_id_value", "bits_per_uid"): (True, "96", None),
        ("get_id_value", "Notice::mail_dest"): (True, '"someone@example.com"', None),
        ("get_id_value", "nosuch"): (False, None, "unknown id"),
        ("get_id_value",): (False, None, "get_id_value expects name of global identifier"),
        ("frobnicate", "x"): (False, None, "dispatch frobnicate unknown"),
        (): (False, None, "no dispatch arguments provided"),
    }
    for number, (action, outcome) in enumerate(expected.items()):
        agent.dispatch(f"r{number}", *action, nodes=only)
        result = (await agent.answers_to(f"r{number}", 1))["worker"].result
        assert (result.success, result.data and result.data.data, result.error) == outcome, action
        assert result.node == "worker"
        assert result.reqid == f"r{number}"
    assert {answer.result.node for answer in agent.answers if answer.reqid.startswith("r")} == {"worker"}

    for name in ("worker", "manager", "logger"):
        processes[name].terminate()
    for name, process in processes.items():
        assert await runner.ended(process) in (0, -15), name
        directory = Path(context(name).directory)
        log = (directory / f"management-{name}.log").read_text().splitlines()
        assert log[0] == "#separator \\x09"
        assert log[8].split("\t")[1:4] == [name, "INFO", "NODE"]
        assert (directory / ".status").read_text().startswith("TERMINATED")


@pytest.mark.parametrize("name", ["manager", "logger", "worker"])
@pytest.mark.parametrize("bare_mode", [False, True], ids=["default", "bare"])
@pytest.mark.parametrize("backend", list(Backend), ids=lambda backend: backend.value)
def test_scripts_are_read_without_warnings(
    backend: Backend, bare_mode: bool, name: str, runner: Any, context: Callable[..., LaunchContext]
) -> None:
    """All that a node can be told, to Zeek's parser: what this version does not know, or means to drop, is told."""
    engine = engines.select("zeek", ZeekOptions(backend))
    modern = backend is Backend.BROKER or examine(engine.program).version >= ZEROMQ_IPV6
    host = Address("::1") if modern else LOOPBACK
    cluster = {
        "manager": ClusterEndpoint(ClusterRole.MANAGER, host, Port(2200), metrics_port=Port(9000)),
        "logger": ClusterEndpoint(ClusterRole.LOGGER, host, Port(2201)),
        "worker": ClusterEndpoint(ClusterRole.WORKER, host, NO_PORT, pcap_file="/dev/null"),
    }
    trace = cluster[name].pcap_file
    config = NodeConfig(name=name, cluster=cluster, pcap_file=trace, bare_mode=bare_mode, env={WEBSOCKET_PORT: "4000"})
    spec = engine.launch(config, context(name))
    runner.prepare(spec)
    program, *words = spec.argv
    done = subprocess.run(
        [program, "-a", *words],
        env=spec.env,
        cwd=spec.directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


SETTINGS = {
    Backend.ZEROMQ: ("Cluster::Backend::ZeroMQ::linger_ms=100", "Cluster::Backend::ZeroMQ::proxy_io_threads=1"),
    Backend.BROKER: ("Broker::ssl_certificate=/no.pem", "Broker::ssl_keyfile=/no.pem"),
}
COMMON_SETTINGS = ("Notice::mail_dest=someone@example.com", "Zeekfleet::hello_limit=5", "Site::local_nets={10.0.0.0/8}")


@pytest.mark.parametrize("backend", list(Backend), ids=lambda backend: backend.value)
async def test_settings_of_all_that_a_cluster_loads_pass_the_check(
    backend: Backend, context: Callable[..., LaunchContext], tmp_path: Path
) -> None:
    engine = engines.select("zeek", ZeekOptions(backend, user_scripts=()))
    cluster = {
        "manager": ClusterEndpoint(ClusterRole.MANAGER, LOOPBACK, Port(2200)),
        "worker": ClusterEndpoint(ClusterRole.WORKER, LOOPBACK, NO_PORT),
    }

    async def told(number: int, *settings: str) -> list[str]:
        config = NodeConfig(name="worker", cluster=cluster, addl_user_scripts=settings)
        scratch = tmp_path / str(number)
        scratch.mkdir()
        return await engine.check(config, context("worker"), scratch)

    assert await told(1, *SETTINGS[backend], *COMMON_SETTINGS) == []
    for number, name in enumerate(("Cluster::Backend::Nosuch::linger_ms", "Broker::ssl_certfile"), 2):
        sentence = f"error: unknown identifier '{name}' in command-line options"
        assert await told(number, *SETTINGS[backend], f"{name}=1") == [sentence]
