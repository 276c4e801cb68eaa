"""Checks of nodes on a host: from needs and facts to problems."""

from __future__ import annotations

import msgspec
import pytest

from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import NO_PORT, Address, Port
from zeekfleet.planning import listeners, parsing
from zeekfleet.planning.checks import (
    CAPTURE,
    HostFacts,
    Listener,
    Needs,
    OwnPorts,
    PortUse,
    Problem,
    host_problems,
    network_device,
    unavailable,
)
from zeekfleet.planning.layout import Backend

HOST = Address("192.0.2.1")
METRICS = Listener("metrics port", "127.0.0.1", 9001)
FACTS = HostFacts(interfaces=frozenset({"eth0", "lo"}), cpus=frozenset({0, 1}), capabilities=frozenset({CAPTURE}))


NO_OWN_PORTS = OwnPorts()


def told(need: Needs, facts: HostFacts = FACTS, own: OwnPorts = NO_OWN_PORTS) -> list[str]:
    return [str(problem) for problem in host_problems([need], facts, own)]


def using(use: PortUse, listener: Listener = METRICS) -> HostFacts:
    return msgspec.structs.replace(FACTS, ports={(listener.host, listener.port): use})


def test_a_node_that_needs_nothing_special_is_fine() -> None:
    assert told(Needs("w")) == []
    assert told(Needs("w", "eth0", frozenset({1}), (METRICS,))) == []


def test_a_missing_cpu() -> None:
    assert told(Needs("w", cpus=frozenset({64}))) == ["node 'w': CPU 64 to pin to is offline or absent"]


@pytest.mark.parametrize(
    ("interface", "device"),
    [
        (None, None),
        ("eth0", "eth0"),
        ("af_packet::eth0", "eth0"),
        ("pcap::lo", "lo"),
        ("eth0.100", "eth0.100"),
        ("netmap::eth0", None),
        ("dpdk::0", None),
        ("any", None),
        ("nflog:5", None),
        ("usbmon1", None),
        ("", None),
    ],
)
def test_the_device_behind_an_interface(interface: str | None, device: str | None) -> None:
    assert network_device(interface) == device


def test_interfaces_that_do_not_exist() -> None:
    assert told(Needs("w", "eth9")) == ["node 'w': there is no interface 'eth9', only eth0, lo"]
    assert told(Needs("w", "af_packet::eth9")) == ["node 'w': there is no interface 'eth9', only eth0, lo"]
    many = msgspec.structs.replace(FACTS, interfaces=frozenset(f"veth{number:03}" for number in range(50)))
    assert told(Needs("w", "eth9"), many)[0].endswith("veth019, …")


def test_live_traffic_needs_a_capability() -> None:
    powerless = msgspec.structs.replace(FACTS, capabilities=frozenset())
    assert told(Needs("w", "eth0"), powerless) == [
        "node 'w': reading from interface 'eth0' needs CAP_NET_RAW, which nodes do not have here"
    ]
    assert told(Needs("w", None), powerless) == []


def test_a_port_in_use_is_reported_with_its_owner() -> None:
    need = Needs("w", listeners=(METRICS,))
    assert told(need, using(PortUse("is in use", 12, "nginx"))) == [
        "node 'w': metrics port 9001/tcp is in use by process 12 (nginx)"
    ]
    assert told(need, using(PortUse("is in use"))) == ["node 'w': metrics port 9001/tcp is in use"]
    assert told(need, using(PortUse("is in use", 12, "x"), Listener("", "192.0.2.7", 9001))) == []


@pytest.mark.parametrize(
    ("use", "own", "fine"),
    [
        (PortUse("is in use", 12), OwnPorts(pids=frozenset({12})), True),
        (PortUse("is in use", 12), OwnPorts(pids=frozenset({13})), False),
        # A node of another instance of this cluster, on the same host, uses it; a deployment frees it.
        (PortUse("is in use", 12, "zeek", is_node=True), OwnPorts(ports=frozenset({9001})), True),
        (PortUse("is in use"), OwnPorts(ports=frozenset({9001})), True),
        # A port of this cluster, but another program uses it.
        (PortUse("is in use", 12, "nginx"), OwnPorts(ports=frozenset({9001})), False),
        # A node, but of another cluster.
        (PortUse("is in use", 12, "zeek", is_node=True), OwnPorts(ports=frozenset({9002})), False),
    ],
)
def test_uses_of_a_port_that_do_not_matter(use: PortUse, own: OwnPorts, fine: bool) -> None:
    need = Needs("w", listeners=(METRICS,))
    assert (told(need, using(use), own) == []) is fine
    assert (unavailable([need], using(use), own) == []) is fine


def test_two_nodes_with_the_same_port() -> None:
    needs = [Needs("w2", listeners=(METRICS,)), Needs("w1", listeners=(METRICS,))]
    assert [str(problem) for problem in host_problems(needs, FACTS, OwnPorts())] == [
        "nodes 'w1', 'w2': port 9001/tcp would be listened on 2 times"
    ]


def test_the_same_problem_of_several_nodes_is_reported_once() -> None:
    needs = [Needs("b", "eth9"), Needs("a", "eth9"), Needs("c", cpus=frozenset({7}))]
    assert host_problems(needs, FACTS, OwnPorts()) == [
        Problem(("a", "b"), "there is no interface 'eth9', only eth0, lo"),
        Problem(("c",), "CPU 7 to pin to is offline or absent"),
    ]


CLUSTER = {
    "m": ClusterEndpoint(ClusterRole.MANAGER, HOST, Port(2200), metrics_port=Port(9000)),
    "l": ClusterEndpoint(ClusterRole.LOGGER, HOST, Port(2201), metrics_port=Port(9001)),
    "w": ClusterEndpoint(ClusterRole.WORKER, HOST, NO_PORT, metrics_port=Port(9002)),
}


def places(name: str, backend: Backend, cluster: dict[str, ClusterEndpoint] = CLUSTER) -> set[tuple[str, int]]:
    found = listeners.of_zeek(NodeConfig(name=name, cluster=cluster), backend, (5555, 5556))
    return {(listener.host, listener.port) for listener in found}


def test_where_real_nodes_listen() -> None:
    assert places("m", Backend.ZEROMQ) == {("127.0.0.1", 9000), (HOST, 5555), (HOST, 5556)}
    assert places("l", Backend.ZEROMQ) == {("127.0.0.1", 9001), (HOST, 2201)}
    assert places("w", Backend.ZEROMQ) == {("127.0.0.1", 9002)}
    assert places("m", Backend.BROKER) == {("127.0.0.1", 9000), (HOST, 2200)}
    without_logger = {name: row for name, row in CLUSTER.items() if name != "l"}
    assert (HOST, 2200) in places("m", Backend.ZEROMQ, without_logger)
    assert places("stranger", Backend.ZEROMQ) == set()


def test_simulated_nodes_serve_metrics_alone() -> None:
    assert listeners.of_simulated_node(NodeConfig(name="m", cluster=CLUSTER)) == (
        Listener("metrics port", "127.0.0.1", 9000),
    )


def config(name: str, **fields: object) -> NodeConfig:
    row = ClusterEndpoint(ClusterRole.WORKER, HOST, NO_PORT)
    return NodeConfig(name=name, cluster={**CLUSTER, name: row}, directory=f"/nodes/{name}", **fields)  # type: ignore[arg-type]


def grouped(*configs: NodeConfig) -> list[list[str]]:
    return [[each.name for each in group] for group in parsing.groups(configs, {"LINK"})]


def test_nodes_with_equal_scripts_are_parsed_once() -> None:
    assert grouped(config("a", interface="eth0", cpu_affinity=1), config("b", interface="eth1")) == [["a", "b"]]
    assert grouped(config("a", env={"LINK": "1"}), config("b", env={"LINK": "2"})) == [["a", "b"]]
    assert grouped(config("a", env={"X": "1"}), config("b", env={"X": "2"})) == [["a"], ["b"]]
    assert grouped(config("a", addl_user_scripts=("x",)), config("b")) == [["a"], ["b"]]
    assert grouped(config("a", pcap_file="t"), config("b")) == [["a"], ["b"]]
    # Relative scripts are the node's own.
    assert grouped(config("a", addl_user_scripts=("./x",)), config("b", addl_user_scripts=("./x",))) == [["a"], ["b"]]
    manager = NodeConfig(name="m", cluster=CLUSTER)
    assert grouped(manager, config("a")) == [["m"], ["a"]]


def test_the_command_line_of_a_parse() -> None:
    argv = ("/opt/zeek", "-i", "lo", "local", "./own", "../other", "/abs", "A::b=c")
    assert parsing.command_line(argv, "/n/w") == (
        "/opt/zeek", "-a", "-i", "lo", "local", "/n/w/./own", "/n/w/../other", "/abs", "A::b=c",
    )  # fmt: skip


def test_errors_that_zeek_reported() -> None:
    text = (
        "warning in /x, line 1: deprecated\n\n"
        "error in /a/bad.zeek, line 3: unknown identifier foo\n"
        "error in /a/bad.zeek, line 3: unknown identifier foo\n"
        "fatal error: can't find ./missing\n"
    )
    assert parsing.reported_errors(text) == [
        "error in /a/bad.zeek, line 3: unknown identifier foo",
        "fatal error: can't find ./missing",
    ]
    assert parsing.reported_errors("1\n2\n3\nout of memory\n") == ["2", "3", "out of memory"]
    assert parsing.reported_errors("") == []
    many = parsing.reported_errors("".join(f"error {number}\n" for number in range(50)))
    assert many[-2:] == ["error 19", "30 more errors"]
