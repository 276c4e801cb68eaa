"""A cluster of real Zeeks on one host: deployed, talked to, killed node by node."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet import Fleet, hub_ports, ini, node

from support.waiting import PATIENCE, until

pytestmark = [pytest.mark.zeek, pytest.mark.skipif(shutil.which("zeek") is None, reason="no zeek on PATH")]

BACKENDS = ("zeromq", "broker")
WORKER = {"interface": "lo", "scripts": "ignore_checksums=T"}
NODES = {
    "manager": node("here", "manager"),
    "logger-01": node("here", "logger"),
    "logger-02": node("here", "logger"),
    "proxy-01": node("here", "proxy"),
    **{f"worker-0{number}": node("here", "worker", **WORKER) for number in range(1, 5)},
}


class Cluster:
    """A deployed one."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet

    def verb(self, *words: str, code: int = 0) -> Any:
        command = [sys.executable, "-m", "zeekfleet", "--controller", f"127.0.0.1:{self.fleet.client_port}", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == code, done
        return done.stdout

    def directory(self, name: str) -> Path:
        return self.fleet.root / "up" / "nodes" / name

    def all_answer(self) -> bool:
        """Whether all are RUNNING, and tell a value."""
        states = {name: entry["state"] for name, entry in self.fleet.nodes().items() if name in NODES}
        if states != dict.fromkeys(NODES, "RUNNING"):
            return False
        answer = self.fleet.client("get-id-value", "Cluster::node")
        return bool(answer.results == {name: name for name in NODES} and answer.errors == [])

    def linked(self) -> str:
        """The node that the agent's WebSocket goes to."""
        found = []
        for name in NODES:
            for line in (self.directory(name) / f"management-{name}.log").read_text().splitlines():
                fields = line.split("\t")
                if fields[-1] == "linked to the agent":
                    found.append((float(fields[0]), name))
        return max(found)[1]

    def written(self, log: str) -> str:
        """What the loggers have written of a log."""
        files = [self.directory(name) / f"{log}.log" for name in ("logger-01", "logger-02")]
        return "".join(file.read_text() for file in files if file.exists())


@pytest.fixture(scope="module", params=BACKENDS)
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Deployed by zeek-client."""
    fleet = Fleet(tmp_path_factory.mktemp("z"))
    try:
        fleet.start_up(engine="zeek", backend=request.param, **hub_ports(request.param))
        fleet.deploy(ini(["here"], NODES))
        yield Cluster(fleet)
    finally:
        fleet.stop()


def test_all_nodes_run_and_answer(cluster: Cluster) -> None:
    until(cluster.all_answer, "all nodes run and answer")
    assert {cluster.linked()} <= NODES.keys() - {"logger-01", "logger-02"}


def test_no_node_complains(cluster: Cluster) -> None:
    harmless = ("listening on lo", "received termination signal")
    for name in NODES:
        lines = (cluster.directory(name) / "stderr").read_text().splitlines()
        # Broker's own words when a busy machine brings up a node before the one that it connects to.
        told = [line for line in lines if line.strip() and "PEER_UNAVAILABLE" not in line]
        assert [line for line in told if not line.endswith(harmless)] == [], name


def test_the_agent_warns_of_nothing(cluster: Cluster) -> None:
    log = (cluster.directory("here") / "stderr").read_text()
    assert [line for line in log.splitlines() if "[warning" in line or "[error" in line] == []


def test_loggers_write_what_workers_see(cluster: Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def seen() -> bool:
            """Talk, and look for an earlier talk."""
            with socket.create_connection(("127.0.0.1", port), 5) as client:
                server.accept()[0].close()
                client.recv(1)
            return f"\t127.0.0.1\t{port}\ttcp\t" in cluster.written("conn")

        until(seen, "the loggers have the conversation")
    workers = {f"worker-0{number}" for number in range(1, 5)}
    assert not [name for name in workers if (cluster.directory(name) / "conn.log").exists()]


def test_network_and_peer_statistics(cluster: Cluster) -> None:
    found = json.loads(cluster.verb("--json", "net-stats", "worker-01"))["results"]["worker-01"]
    assert found["received"] > 0
    assert found["bytes"] > 0

    def connected() -> bool:
        peers = json.loads(cluster.verb("--json", "peer-stats"))
        seen = {name: {peer["node"] for peer in entry["peers"]} for name, entry in peers["results"].items()}
        assert seen.keys() == NODES.keys()
        return seen["manager"] == NODES.keys() - {"manager"} and "manager" in seen["logger-02"]

    until(connected, "the manager is connected to all others")


def test_options_of_some_and_of_all(cluster: Cluster) -> None:
    name = "Site::local_zones"
    changed = json.loads(cluster.verb("--json", "set-option", name, "example.com", "worker-02", "logger-01"))
    # A logger is asked in two ways, and does it once.
    change = {"name": name, "before": "[]", "now": '["example.com"]'}
    assert changed["results"] == {"logger-01": change, "worker-02": change}
    values = cluster.fleet.client("get-id-value", name).results
    assert values == {one: ["example.com"] if one in ("worker-02", "logger-01") else [] for one in NODES}
    cluster.verb("set-option", "FTP::guest_ids", "anonymous, visitor")
    values = cluster.fleet.client("get-id-value", "FTP::guest_ids").results
    assert {one: sorted(value) for one, value in values.items()} == {one: ["anonymous", "visitor"] for one in NODES}
    for constant in ("Nosuch::option", "Notice::mail_dest"):
        assert "unknown option" in cluster.verb("--json", "set-option", constant, "1", "manager", code=1)
    until(lambda: "FTP::guest_ids" in cluster.written("config"), "the change is logged")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("Notice::ignored_types", "PacketFilter::Dropped_Packets", ["PacketFilter::Dropped_Packets"]),
        ("Signatures::ignored_ids", "/sid-[0-9]+/i", "/^?((?i:sid-[0-9]+))$?/"),
        ("Weird::ignore_hosts", "[10.0.0.1, bad_TCP_checksum]", [["10.0.0.1", "bad_TCP_checksum"]]),
        ("Conn::port_inactivity_timeouts", "22/tcp = 2 hrs", {json.dumps({"port": 22, "proto": "tcp"}): "2.0 hrs"}),
        ("Site::local_admins", "10.0.0.0/8 = {a@example.com}", {"10.0.0.0/8": ["a@example.com"]}),
    ],
)
def test_options_of_all_types(cluster: Cluster, name: str, text: str, value: object) -> None:
    cluster.verb("set-option", name, text)

    def told() -> bool:
        found = cluster.fleet.client("get-id-value", name).results
        return {one: _respaced(entry) for one, entry in found.items()} == dict.fromkeys(NODES, value)

    until(told, "all nodes have the option")
    until(lambda: f"\t{name}\t" in cluster.written("config"), "the change is logged")


def _respaced(value: object) -> object:
    """Keys that are JSON texts are spaced as Python does it."""
    if not isinstance(value, dict):
        return value
    return {json.dumps(json.loads(key)) if key.startswith("{") else key: entry for key, entry in value.items()}


def test_options_that_cannot_be_read_are_told(cluster: Cluster) -> None:
    wrong = cluster.verb("--json", "set-option", "Notice::ignored_types", "Nosuch::Type", "manager", code=1)
    assert "'Nosuch::Type' is no value of type set[Notice::Type]" in wrong
    table = cluster.verb("--json", "set-option", "SSL::ct_logs", "a = b", "manager", code=1)
    assert "options of type table[string] of SSL::CTInfo cannot be set from text" in table


@pytest.mark.parametrize("victim", ["worker-03", "proxy-01", "logger-01", "manager", "linked"])
def test_a_killed_node_comes_back(cluster: Cluster, victim: str) -> None:
    victim = cluster.linked() if victim == "linked" else victim
    until(cluster.all_answer, "all nodes run and answer")
    before = cluster.fleet.pids()
    os.kill(before[victim], signal.SIGKILL)
    until(lambda: cluster.fleet.pids()[victim] not in (before[victim], None), f"{victim} has a new process")
    until(cluster.all_answer, "all nodes run and answer")
    after = cluster.fleet.pids()
    assert {name for name in NODES if before[name] != after[name]} == {victim}


def test_options_of_all_reach_nodes_that_come_later(cluster: Cluster) -> None:
    cluster.verb("set-option", "FTP::default_capture_password", "T")
    cluster.verb("set-option", "Weird::ignore_hosts", "[10.0.0.2, bad_TCP_checksum]")
    old = cluster.fleet.pids()["worker-04"]
    os.kill(old, signal.SIGKILL)

    def told() -> bool:
        answer = cluster.fleet.client("get-id-value", "FTP::default_capture_password", "worker-04")
        hosts = cluster.fleet.client("get-id-value", "Weird::ignore_hosts", "worker-04")
        return (
            cluster.fleet.pids()["worker-04"] != old
            and answer.results == {"worker-04": True}
            and hosts.results == {"worker-04": [["10.0.0.2", "bad_TCP_checksum"]]}
        )

    until(told, "the new worker-04 has the option")


def test_zeekfleet_deploys_beside_what_runs(cluster: Cluster, tmp_path: Path) -> None:
    before = cluster.fleet.pids()
    file = tmp_path / "cluster.ini"
    file.write_text(ini(["here"], {**NODES, "worker-05": node("here", "worker", **WORKER)}))
    cluster.verb("deploy-config", str(file))
    cluster.fleet.wait_for_states("RUNNING", *NODES, "worker-05")
    # The layout names all nodes: whoever is there starts anew with it.
    assert not before.items() & cluster.fleet.pids().items()
    assert cluster.fleet.client("get-id-value", "Cluster::node").results.keys() == {*NODES, "worker-05"}


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_instance_of_loggers_only(tmp_path_factory: pytest.TempPathFactory, backend: str) -> None:
    fleet = Fleet(tmp_path_factory.mktemp("z"))
    engine = {"engine": "zeek", "backend": backend, **hub_ports(backend)}
    nodes = {
        "manager": node("a1", "manager"),
        "logger-01": node("a2", "logger"),
        "logger-02": node("a2", "logger"),
        "worker-01": node("a1", "worker", interface="lo"),
    }
    try:
        fleet.start_controller()
        fleet.start_agent("a1", **engine)
        fleet.start_agent("a2", **engine)
        fleet.wait_for_instances("a1", "a2")
        fleet.deploy(ini(["a1", "a2"], nodes))
        answer = fleet.client("get-id-value", "Cluster::node")
        assert answer.results == {name: name for name in nodes}
        fleet.wait_for_states("RUNNING", *nodes)
        # Each agent knows its own nodes, although hellos of all pass by both.
        assert {name for name in fleet.client("get-nodes").results["a2"] if name in nodes} == {"logger-01", "logger-02"}
        os.kill(fleet.pids()["manager"], signal.SIGKILL)
        # The loggers do not need the manager to answer.
        both = fleet.client("get-id-value", "bits_per_uid", "logger-01", "logger-02")
        assert both.results == {"logger-01": 96, "logger-02": 96}
    finally:
        fleet.stop()


def test_two_clusters_share_a_host(new_fleet: Callable[[], Fleet]) -> None:
    nodes = {
        "manager": node("here", "manager"),
        "logger": node("here", "logger"),
        "worker": node("here", "worker", interface="lo"),
    }
    fleets = [new_fleet(), new_fleet()]
    for fleet in fleets:
        fleet.start_up(engine="zeek")
        fleet.deploy(ini(["here"], nodes))
    marks = {"F": fleets[0], "T": fleets[1]}
    for mark, fleet in marks.items():
        Cluster(fleet).verb("set-option", "FTP::default_capture_password", mark)
    for mark, fleet in marks.items():
        answer = fleet.client("get-id-value", "FTP::default_capture_password")
        assert answer.results == dict.fromkeys(nodes, mark == "T")
        # A restarted manager has the same ports again.
        fleet.client("restart", "manager")
        fleet.wait_for_states("RUNNING", *nodes)
        until(lambda fleet=fleet: fleet.client("get-id-value", "Cluster::node").code == 0, "all answer again")
