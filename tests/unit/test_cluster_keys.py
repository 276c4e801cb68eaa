"""Keys and ports that the nodes of a cluster have in common."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from support.ports import free_ports
from zeekfleet.controller.keys import KeyFile, make_keys, z85
from zeekfleet.errors import LaunchError, StoreError
from zeekfleet.model.curve import CurveKeys
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.model.types import Address
from zeekfleet.model.variables import CURVE_FILE, HUB_PORTS
from zeekfleet.node.zeek import cluster_settings
from zeekfleet.node.zeek.cluster_settings import ClusterSettings
from zeekfleet.node.zeek.curve import curve_variables

KEYS = CurveKeys("sp", "ss", "cp", "cs")


def cluster(*hosts: str) -> Configuration:
    instances = tuple(Instance(f"a{place}", Address(host)) for place, host in enumerate(hosts))
    nodes = tuple(Node(f"n-{one.name}", one.name, ClusterRole.WORKER, State.PENDING) for one in instances)
    return Configuration(instances=instances, nodes=nodes)


def test_z85_follows_its_specification() -> None:
    assert z85(bytes.fromhex("864FD26FB559F75B")) == "HelloWorld"
    assert z85(bytes(4)) == "00000"
    assert z85(b"\xff" * 4) == "%nSc0"


def test_keys_are_pairs_and_their_text_shows_no_secret() -> None:
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
    wide = ClusterSettings(tmp_path, (6555, 6556))
    assert wide.variables(cluster("10.0.0.1", "10.0.0.2"), {}) == {}
    wide.store_keys(KEYS)
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
    wide.store_keys(msgspec.structs.replace(KEYS, client_secret="other"))
    assert wide.variables(cluster("10.0.0.1", "10.0.0.2"), {}) != found


def test_a_node_without_its_key_file_is_not_started(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="keys"):
        curve_variables(NodeConfig(name="n", env={CURVE_FILE: str(tmp_path / "none")}))


def files(directory: Path) -> set[str]:
    return {file.name for file in directory.iterdir()}


def launched(variables: dict[str, str]) -> dict[str, NodeConfig]:
    return {"n": NodeConfig(name="n", env=variables)}


def test_keys_that_no_node_has_any_more_are_removed(tmp_path: Path) -> None:
    configuration = cluster("10.0.0.1", "10.0.0.2")
    controllers = tmp_path / "curve-keys.json"
    controllers.touch()
    wide = ClusterSettings(tmp_path, (6555, 6556))

    def deploy(secret: str, running: dict[str, NodeConfig]) -> dict[str, NodeConfig]:
        wide.store_keys(msgspec.structs.replace(KEYS, client_secret=secret))
        return launched(wide.variables(configuration, running))

    def name(configs: dict[str, NodeConfig]) -> str:
        return Path(configs["n"].env[CURVE_FILE]).name

    first = deploy("1", {})
    wide.follow(first)
    second = deploy("2", first)
    assert files(tmp_path) == {controllers.name, name(first), name(second)}, "the node runs with the first yet"
    # A check comes while the deployment is under way: nodes with the second keys are about to be launched.
    third = deploy("3", {})
    assert {name(second), name(third)} < files(tmp_path)
    wide.follow(second)
    wide.variables(configuration, second)
    assert files(tmp_path) == {controllers.name, name(second), name(third)}, "what comes next is kept"
    wide.follow(third)
    wide.variables(configuration, third)
    assert files(tmp_path) == {controllers.name, name(third)}
    wide.close()


def test_an_agent_that_starts_again_removes_no_keys_of_nodes_that_run(tmp_path: Path) -> None:
    configuration = cluster("10.0.0.1", "10.0.0.2")
    wide = ClusterSettings(tmp_path, (6555, 6556))
    wide.store_keys(KEYS)
    found = launched(wide.variables(configuration, {}))
    wide.close()
    again = ClusterSettings(tmp_path, (6555, 6556))
    # The supervisor may not answer at first: then nothing is known to run.
    again.follow({})
    assert len(files(tmp_path)) == 1
    again.variables(configuration, found)
    assert len(files(tmp_path)) == 1
    again.variables(configuration, {})
    assert not files(tmp_path)
    again.close()


def test_the_hubs_ports_are_those_of_running_nodes_or_the_operators(tmp_path: Path) -> None:
    with closing(ClusterSettings(tmp_path)) as wide:
        running = {"m": NodeConfig(name="m", env={HUB_PORTS: "7001,7002"})}
        assert wide.variables(cluster("127.0.0.1"), running) == {HUB_PORTS: "7001,7002"}
        assert wide.variables(cluster("127.0.0.1", "127.0.0.1"), running) == {}
    with closing(ClusterSettings(tmp_path, (1, 2))) as wide:
        assert wide.variables(cluster("127.0.0.1"), {}) == {}


def hub_ports(wide: ClusterSettings, running: dict[str, NodeConfig] | None = None) -> tuple[int, ...]:
    return tuple(map(int, wide.variables(cluster("127.0.0.1"), running or {})[HUB_PORTS].split(",")))


@pytest.fixture
def zeeks_own(monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Replaces Zeek's default ports by free ones, since any program on this host may use the real ones."""
    first, second = free_ports(2)
    monkeypatch.setattr(cluster_settings, "DEFAULT_HUB_PORTS", (first, second))
    return first, second


def test_a_cluster_on_one_instance_avoids_another_clusters_ports(tmp_path: Path, zeeks_own: tuple[int, int]) -> None:
    with closing(ClusterSettings(tmp_path)) as one, closing(ClusterSettings(tmp_path)) as another:
        assert hub_ports(one) == zeeks_own
        chosen = hub_ports(another)
        assert not set(chosen) & set(zeeks_own)
        assert (hub_ports(one), hub_ports(another)) == (zeeks_own, chosen), "a choice stands"
        # Nothing is to run here any more.
        assert one.variables(Configuration(), {}) == {}
        with closing(ClusterSettings(tmp_path)) as third:
            assert hub_ports(third) == zeeks_own


def test_ports_with_a_listener_are_not_chosen(tmp_path: Path, zeeks_own: tuple[int, int]) -> None:
    with closing(ClusterSettings(tmp_path)) as wide:
        with closing(socket.create_server(("127.0.0.1", zeeks_own[1]))):
            assert not set(hub_ports(wide)) & set(zeeks_own)
        chosen = hub_ports(wide)
        with closing(socket.create_server(("127.0.0.1", chosen[0]))):
            assert chosen[0] not in hub_ports(wide), "somebody came after the choice"
            running = {"m": NodeConfig(name="m", env={HUB_PORTS: "{},{}".format(*chosen)})}
            assert hub_ports(wide, running) == chosen, "it is our own hub"


def test_an_agent_that_starts_again_keeps_the_ports_of_its_cluster(tmp_path: Path, zeeks_own: tuple[int, int]) -> None:
    config = NodeConfig(name="m", env={HUB_PORTS: "{},{}".format(*zeeks_own)})
    with closing(ClusterSettings(tmp_path)) as again, closing(ClusterSettings(tmp_path)) as another:
        again.follow({"m": config})
        assert not set(hub_ports(another)) & set(zeeks_own)


def test_ports_of_a_cluster_on_several_instances_are_reserved(tmp_path: Path, zeeks_own: tuple[int, int]) -> None:
    with closing(ClusterSettings(tmp_path)) as wide, closing(ClusterSettings(tmp_path)) as another:
        assert wide.variables(cluster("127.0.0.1", "127.0.0.1"), {}) == {}
        assert not set(hub_ports(another)) & set(zeeks_own)
