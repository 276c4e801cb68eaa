"""What a deployment restarts of a cluster of real Zeeks, and whether its nodes are connected to each other."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet import SMALL_CLUSTER, Fleet, hub_ports, ini

from support.ports import free_ports
from support.waiting import until

pytestmark = [pytest.mark.zeek, pytest.mark.skipif(shutil.which("zeek") is None, reason="no zeek on PATH")]


@pytest.fixture(scope="module", params=("zeromq", "broker"))
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def fleet(backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path_factory.mktemp("z"))
    try:
        fleet.start_up(engine="zeek", backend=backend, peer_limit=1, **hub_ports(backend))
        yield fleet
    finally:
        fleet.stop()


def missing(fleet: Fleet) -> dict[str, list[str]]:
    nodes: dict[str, dict[str, Any]] = fleet.zeekfleet("--json", "status").results["here"]
    return {name: entry["missing_peers"] for name, entry in nodes.items()}


def told(fleet: Fleet) -> str:
    return (fleet.root / "up" / "nodes" / "here" / "management-here.log").read_text()


def changed(**nodes: dict[str, str]) -> str:
    return ini(
        ["here"], {name: {**keys, **nodes.get(name.replace("-", "_"), {})} for name, keys in SMALL_CLUSTER.items()}
    )


def restarted(fleet: Fleet, configuration: str) -> set[str]:
    before = fleet.pids()
    fleet.deploy(configuration)
    after = fleet.pids()
    return {name for name in after if after[name] != before.get(name)}


def test_all_are_connected_and_a_change_restarts_whom_it_concerns(fleet: Fleet) -> None:
    outcome = fleet.deploy(changed()).results["nodes"]
    until(lambda: not any(missing(fleet).values()), "all are connected to each other")
    assert all(entry["success"] for entry in outcome.values())
    assert restarted(fleet, changed(worker_1={"interface": "any"})) == {"worker-1"}
    [port] = free_ports()
    moved = changed(worker_1={"interface": "any"}, worker_2={"metrics_port": str(port)})
    assert restarted(fleet, moved) == {"worker-2", "manager"}
    until(lambda: not any(missing(fleet).values()), "those that were restarted are connected again")
    assert restarted(fleet, changed(worker_1={"interface": "any"}, worker_2={"metrics_port": str(port)})) == set()


def counted_in_pools(fleet: Fleet) -> dict[str, int]:
    """By node, how many proxies it takes for alive: those that it hands its work to."""
    pools = fleet.client("get-id-value", "Cluster::proxy_pool").results
    return {name: pool["alive_count"] for name, pool in pools.items()}


@pytest.mark.long
@pytest.mark.parametrize("victims", [("manager", "proxy"), ("manager", "logger"), ("worker-1",)], ids="+".join)
def test_nodes_that_are_killed_together_are_connected_again(fleet: Fleet, victims: tuple[str, ...]) -> None:
    fleet.deploy(changed())
    before = fleet.pids()
    for name in victims:
        os.kill(before[name], signal.SIGKILL)
    until(lambda: not {before[name] for name in victims} & set(fleet.pids().values()), "they have new processes")
    fleet.wait_for_states("RUNNING", *SMALL_CLUSTER)
    until(lambda: not any(missing(fleet).values()), "all are connected to each other")
    until(lambda: counted_in_pools(fleet) == dict.fromkeys(SMALL_CLUSTER, 1), "all count on the proxy")


def test_nodes_that_are_restarted_together_are_connected_again(fleet: Fleet) -> None:
    fleet.deploy(changed())
    for names in (("manager",), ("manager", "proxy", "logger"), ()):
        assert fleet.client("restart", *names).code == 0
        fleet.wait_for_states("RUNNING", *SMALL_CLUSTER)
        until(lambda: not any(missing(fleet).values()), "all are connected to each other")
        until(lambda: counted_in_pools(fleet) == dict.fromkeys(SMALL_CLUSTER, 1), "all count on the proxy")


def connections(pid: int) -> set[tuple[str, str]]:
    """A process's established connections: its own end, and the other."""
    command = ("ss", "-tnpH", "state", "established")
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    ends = (line.split()[2:4] for line in listed.splitlines() if f"pid={pid}," in line)
    return {(here, there) for here, there in ends}


def break_connections(pid: int) -> None:
    """Break all connections of a process, as a network may do."""
    broken = connections(pid)
    for here, there in broken:
        subprocess.run(("ss", "-K", "src", here, "dst", there), capture_output=True, check=False)
    if broken & connections(pid):
        pytest.skip("connections cannot be broken here")


def seen_since(fleet: Fleet, observer: str, other: str) -> float:
    """Since when a node is connected to another one; 0 if it is not."""
    peers = fleet.zeekfleet("--json", "peer-stats").results.get(observer, {"peers": []})["peers"]
    return max((peer["since"] for peer in peers if peer["node"] == other), default=0.0)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("ss") is None or os.geteuid() != 0, reason="needs ss, and root")
def test_connections_that_break_are_made_again(fleet: Fleet) -> None:
    fleet.deploy(changed())
    until(lambda: not any(missing(fleet).values()), "all are connected to each other")
    before = fleet.pids()
    since = seen_since(fleet, "worker-1", "proxy")
    break_connections(before["proxy"])
    until(lambda: seen_since(fleet, "worker-1", "proxy") > since, "the worker has the proxy back")
    break_connections(before["manager"])
    until(lambda: not any(missing(fleet).values()), "all are connected to each other")
    until(lambda: counted_in_pools(fleet) == dict.fromkeys(SMALL_CLUSTER, 1), "all count on the proxy")
    assert fleet.pids() == before


def test_a_worker_without_its_certificate_is_seen_to_be_alone(fleet: Fleet, backend: str, tmp_path: Path) -> None:
    if backend != "broker":
        pytest.skip("certificates are Broker's")
    nowhere = tmp_path / "nowhere.pem"
    alone = {"scripts": f"Broker::ssl_certificate={nowhere} Broker::ssl_keyfile={nowhere}"}
    outcome = fleet.deploy(changed(worker_1=alone)).results["nodes"]
    assert outcome["worker-1"]["success"]
    words = "zeekfleet: the node runs, but is not connected to logger, manager, proxy\n"
    assert outcome["worker-1"]["stderr"] == words
    assert missing(fleet)["worker-1"] == ["logger", "manager", "proxy"]
    sentence = "node worker-1 runs, but has not been connected to logger, manager, proxy"
    until(lambda: sentence in told(fleet), "the agent has told of it")
    fleet.deploy(changed())
    until(lambda: not any(missing(fleet).values()), "with its settings back, it is connected")
