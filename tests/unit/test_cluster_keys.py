"""Keys and ports that the nodes of a cluster have in common."""

from __future__ import annotations

import socket
from pathlib import Path

import msgspec
import pytest

from zeekfleet.agent.cluster_wide import ClusterWide
from zeekfleet.controller.keys import KeyFile, make_keys, z85
from zeekfleet.errors import LaunchError, StoreError
from zeekfleet.model.curve import CurveKeys
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.model.types import Address
from zeekfleet.node.curve import curve_variables
from zeekfleet.planning.cluster_variables import CURVE_FILE, HUB_PORTS

KEYS = CurveKeys("sp", "ss", "cp", "cs")


def cluster(*hosts: str) -> Configuration:
    instances = tuple(Instance(f"a{place}", Address(host)) for place, host in enumerate(hosts))
    nodes = tuple(Node(f"n-{one.name}", one.name, ClusterRole.WORKER, State.PENDING) for one in instances)
    return Configuration(instances=instances, nodes=nodes)


def test_z85_as_its_specification_has_it() -> None:
    assert z85(bytes.fromhex("864FD26FB559F75B")) == "HelloWorld"
    assert z85(bytes(4)) == "00000"
    assert z85(b"\xff" * 4) == "%nSc0"


def test_keys_are_pairs_and_tell_nothing_of_themselves() -> None:
    keys = make_keys()
    every = msgspec.structs.astuple(keys)
    assert {len(key) for key in every} == {40}
    assert len(set(every)) == 4
    assert make_keys() != keys
    assert keys.server_secret not in repr(keys) + str(keys)


def test_a_controller_keeps_its_keys_to_itself(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    keys = KeyFile(file).keys()
    assert KeyFile(file).keys() == keys
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("{")
    with pytest.raises(StoreError, match="keys"):
        KeyFile(file).keys()
    assert KeyFile(None).keys() != keys


def test_keys_reach_nodes_of_clusters_on_several_hosts(tmp_path: Path) -> None:
    wide = ClusterWide(tmp_path, (6555, 6556))
    assert wide.variables(cluster("10.0.0.1", "10.0.0.2"), {}) == {}
    wide.take_keys(KEYS)
    assert wide.variables(cluster("10.0.0.1", "10.0.0.1"), {}) == {}
    found = wide.variables(cluster("10.0.0.1", "10.0.0.2"), {})
    assert found.keys() == {CURVE_FILE}
    assert Path(found[CURVE_FILE]).stat().st_mode & 0o777 == 0o600
    assert curve_variables(NodeConfig(name="n", env=found)) == {
        "ZEEK_CLUSTER_BACKEND_ZEROMQ_CURVE_SERVER_PUBLICKEY": "sp",
        "ZEEK_CLUSTER_BACKEND_ZEROMQ_CURVE_SERVER_SECRETKEY": "ss",
        "ZEEK_CLUSTER_BACKEND_ZEROMQ_CURVE_CLIENT_PUBLICKEY": "cp",
        "ZEEK_CLUSTER_BACKEND_ZEROMQ_CURVE_CLIENT_SECRETKEY": "cs",
    }
    own = {**found, "ZEEK_CLUSTER_BACKEND_ZEROMQ_CURVE_SERVER_PUBLICKEY": "mine"}
    assert curve_variables(NodeConfig(name="n", env=own)) == {}
    wide.take_keys(msgspec.structs.replace(KEYS, client_secret="other"))
    assert wide.variables(cluster("10.0.0.1", "10.0.0.2"), {}) != found


def test_keys_that_are_gone_keep_a_node_from_starting(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="keys"):
        curve_variables(NodeConfig(name="n", env={CURVE_FILE: str(tmp_path / "none")}))


def test_a_cluster_on_one_instance_makes_way_for_another(tmp_path: Path) -> None:
    wide = ClusterWide(tmp_path)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", 5555))
            other.listen()
        except OSError:
            pass  # somebody has it: that will do as well
        first, second = wide.variables(cluster("127.0.0.1"), {})[HUB_PORTS].split(",")
    assert "5555" not in (first, second)
    assert first != second
    running = {"m": NodeConfig(name="m", env={HUB_PORTS: "7001,7002"})}
    assert wide.variables(cluster("127.0.0.1"), running) == {HUB_PORTS: "7001,7002"}
    assert wide.variables(cluster("127.0.0.1", "127.0.0.1"), running) == {}
    assert ClusterWide(tmp_path, (1, 2)).variables(cluster("127.0.0.1"), {}) == {}
