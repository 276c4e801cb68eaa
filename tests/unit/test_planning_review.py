"""Probable mistakes in a configuration that could be deployed."""

from __future__ import annotations

from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node, Option
from zeekfleet.model.types import Address, Port
from zeekfleet.planning.review import missing_logs, review

MANAGER = Node("m", "a", ClusterRole.MANAGER, State.RUNNING)
ETH0 = "af_packet::eth0"


def worker(name: str, instance: str = "a", interface: str | None = ETH0, **fields: object) -> Node:
    return Node(name, instance, ClusterRole.WORKER, State.RUNNING, interface=interface, **fields)  # type: ignore[arg-type]


def reviewed(*nodes: Node, instances: tuple[Instance, ...] = (Instance("a"), Instance("b"))) -> tuple[str, ...]:
    return review(Configuration(instances=instances, nodes=nodes))


def test_a_usual_cluster_has_no_findings() -> None:
    assert reviewed(MANAGER, worker("w1"), worker("w2", cpu_affinity=3, env={"ZEEKFLEET_NICE": "1"})) == ()


def test_a_configuration_without_nodes_is_not_reviewed() -> None:
    assert reviewed() == ()


def test_workers_without_a_proxy_lose_logs() -> None:
    proxy = Node("p", "a", ClusterRole.PROXY, State.RUNNING)
    without = Configuration(instances=(Instance("a"),), nodes=(MANAGER, worker("w")))
    (text,) = missing_logs(without)
    assert all(log in text for log in ("known_hosts.log", "known_services.log", "known_certs.log", "software.log"))
    assert missing_logs(Configuration(instances=without.instances, nodes=(*without.nodes, proxy))) == ()
    assert missing_logs(Configuration(instances=without.instances, nodes=(MANAGER,))) == ()


def test_a_cluster_has_one_manager() -> None:
    assert reviewed(worker("w")) == ("there is no manager: a Zeek cluster needs one",)
    several = ("there are several managers, 'm', 'n': a Zeek cluster has one",)
    assert reviewed(MANAGER, Node("n", "a", ClusterRole.MANAGER, State.RUNNING)) == several


def test_workers_read_something() -> None:
    trace = worker("t", interface=None, env={"ZEEKFLEET_PCAP_FILE": "/t.pcap"})
    assert reviewed(MANAGER, trace) == ()
    assert reviewed(MANAGER, worker("w", interface="")) == (
        "worker 'w' with neither interface nor pcap_file: there is nothing to read",
    )


FANOUT = ": give each group a AF_Packet::fanout_id of its own, among its scripts"


def test_groups_that_share_an_interface_need_a_fanout_id_each() -> None:
    first = (worker("w1", scripts=("x.zeek",)), worker("w2", scripts=("x.zeek",)))
    shared = "'w1', 'w2' and 'w3' do different work and share the packets of one interface by fanout id 23,"
    assert reviewed(MANAGER, *first, worker("w3", scripts=("y.zeek",))) == (f"{shared} so that none sees all{FANOUT}",)
    own = worker("w3", scripts=("AF_Packet::fanout_id=24", "y.zeek"))
    assert reviewed(MANAGER, *first, own) == ()
    as_option = worker("w3", scripts=("y.zeek",), options=(Option("AF_Packet::fanout_id", "24"),))
    assert reviewed(MANAGER, *first, as_option) == ()
    alone = worker("w3", scripts=("AF_Packet::enable_fanout=F", "y.zeek"))
    assert reviewed(MANAGER, *first, alone) == ()


def test_interfaces_of_one_host_need_a_fanout_id_each() -> None:
    nodes = (MANAGER, worker("w1"), worker("w2", "b", interface="af_packet::eth1"))
    assert reviewed(*nodes) == ()
    host = Address("10.0.0.1")
    same = (Instance("a", host, Port(1)), Instance("b", host, Port(2)))
    assert reviewed(*nodes, instances=same) == (
        f"'w1' and 'w2' read from different interfaces with the same fanout id 23, which the kernel refuses{FANOUT}",
    )
