"""Validation: the exact errors of the protocol, and a few of our own."""

from __future__ import annotations

import pytest

from zeekfleet.agent.plan import impossible_names
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node, Option
from zeekfleet.model.names import RULE, name_problem, shortened
from zeekfleet.model.types import NO_PORT, Address, Port
from zeekfleet.planning.validate import Sizes, nodes_lacking_ports, validate


def node(name: str, instance: str = "a1", role: ClusterRole = ClusterRole.WORKER, **fields: object) -> Node:
    return Node(name=name, instance=instance, role=role, state=State.RUNNING, **fields)  # type: ignore[arg-type]


def check(
    *nodes: Node,
    instances: tuple[Instance, ...] = (Instance("a1"),),
    controller_port: int | None = 2150,
    auto: bool = True,
) -> tuple[str, ...]:
    configuration = Configuration(instances=instances, nodes=nodes)
    return validate(configuration, controller_port=controller_port, auto_assign_ports=auto)


def test_a_valid_configuration_has_no_errors() -> None:
    sound = (node("m", role=ClusterRole.MANAGER, p=Port(2200)), node("w", interface="lo", env={"A": "b=c"}))
    assert check(*sound, auto=False) == ()


def test_the_empty_configuration_is_valid() -> None:
    assert check(instances=()) == ()


def test_an_instance_without_nodes_is_valid() -> None:
    assert check(instances=(Instance("a1"), Instance("a2"))) == ()


def test_each_repeated_name_is_reported_once() -> None:
    errors = check(node("n"), node("n", interface="x"), node("n", interface="y"), instances=(Instance("a1"),) * 3)
    assert errors == ("multiple instances named 'a1'", "multiple nodes named 'n'")


def test_colliding_names_are_sorted() -> None:
    instances = (Instance("b"), Instance("a"), Instance("c"))
    assert check(node("b", "c"), node("a", "c"), instances=instances) == ("node and instance names collide: a, b",)


def test_undeclared_instances() -> None:
    assert check(node("w2", "a2"), node("w1", "a3")) == (
        "node 'w1' has undeclared instance name 'a3'",
        "node 'w2' has undeclared instance name 'a2'",
    )


def test_agent_port_conflicts_only_on_its_own_instance() -> None:
    instances = (Instance("a1", Address("10.0.0.1"), Port(5000)), Instance("a2", Address("10.0.0.2"), Port(5001)))
    errors = check(node("x", "a1", p=Port(5000)), node("y", "a2", p=Port(5000)), instances=instances)
    assert errors == ("node 'x' port 5000/tcp conflicts with agent port on instance 'a1'",)


def test_two_instances_at_one_address() -> None:
    places = (("a", "10.0.0.1", 2151), ("b", "10.0.0.1", 2151), ("c", "10.0.0.1", 2152), ("d", "::1", 2151))
    instances = [Instance(name, Address(host), Port(port)) for name, host, port in places]
    both = Configuration(instances=(*instances, Instance("e"), Instance("f")))
    (error,) = validate(both, controller_port=None, auto_assign_ports=True)
    assert error == "instances 'a', 'b' have the same address, 10.0.0.1:2151, where only one agent can listen"


def test_controller_port_conflicts() -> None:
    assert check(node("x", p=Port(2150))) == ("node 'x' port 2150/tcp conflicts with controller port",)
    assert check(node("x", p=Port(2150)), controller_port=2151) == ()
    assert check(node("x", p=Port(2150)), controller_port=None) == ()


def test_a_port_used_by_several_nodes_is_reported_once_for_each_instance() -> None:
    nodes = [node(f"{instance}{i}", instance, p=Port(5000)) for instance in ("a1", "a2", "a3") for i in range(3)]
    instances = (Instance("a1"), Instance("a2"), Instance("a3"))
    assert check(*nodes[:6], nodes[6], instances=instances) == (
        "multiple nodes on instance 'a1' using port 5000/tcp",
        "multiple nodes on instance 'a2' using port 5000/tcp",
    )


def test_without_auto_assignment_all_but_workers_need_a_port() -> None:
    nodes = (
        node("z", role=ClusterRole.MANAGER),
        node("w"),
        node("a", role=ClusterRole.LOGGER),
        node("p", role=ClusterRole.PROXY, p=Port(1)),
    )
    assert check(*nodes, auto=False) == ("Broker port auto-assignment disabled but nodes a, z lack ports",)
    assert check(*nodes) == ()
    assert nodes_lacking_ports(Configuration(nodes=nodes)) == ("a", "z")


def test_all_errors_come_at_once_and_sorted() -> None:
    errors = check(node("x", "nowhere", p=Port(2150)), node("x", p=Port(2150)), node("m", role=ClusterRole.MANAGER))
    assert list(errors) == sorted(errors)
    assert len(errors) == 4


@pytest.mark.parametrize("name", ["a", "_", "0", "worker-01.a_B", "x" * 64, "instances-1"])
def test_names_that_are_allowed(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..a",
        "-e",
        "--help",
        "a/b",
        "a b",
        "a\0",
        "a\n",
        "a\x1b[2J",
        "a\udc80",
        "a=b",
        "#i",
        "[i]",
        "it's",
        '"',
        "a;b",
        "a:b",
        "ä",
        "\u0663",
        "x" * 65,
    ],
)
def test_names_that_are_not(name: str) -> None:
    assert name_problem(name) == f"is not allowed, {RULE}"


@pytest.mark.parametrize("name", ["DEFAULT", "instances", "default", "Instances"])
def test_a_name_that_a_file_could_not_hold_is_not_allowed(name: str) -> None:
    assert name_problem(name) == f"is not allowed: [{name}] means something else in a cluster configuration file"


def test_forbidden_names_of_nodes_and_instances_are_reported_and_printed_safely() -> None:
    assert check(node("a\nb"), instances=(Instance("a1"), Instance("../x"))) == (
        f"instance name '../x' is not allowed, {RULE}",
        rf"node name 'a\nb' is not allowed, {RULE}",
    )


def test_nothing_may_have_the_name_of_the_controller() -> None:
    configuration = Configuration(instances=(Instance("a"),), nodes=(node("c", "a"),))
    ours = ("node 'c' has the name of the controller",)
    assert validate(configuration, controller_port=None, auto_assign_ports=True, controller_name="c") == ours
    theirs = ("instance 'a' has the name of the controller",)
    assert validate(configuration, controller_port=None, auto_assign_ports=True, controller_name="a") == theirs
    assert validate(configuration, controller_port=None, auto_assign_ports=True, controller_name="b") == ()


def test_a_running_node_is_not_refused_for_its_name() -> None:
    assert impossible_names(("a=b", "ä", "c", "w"), {"ä"}, {"c"}) == {
        "a=b": f"its name is not allowed, {RULE}",
        "c": "its name is that of an agent or controller on this host",
    }


def test_texts_that_are_too_long_are_reported_with_the_limit() -> None:
    too_long = node("w", env={"A": "x" * 3_000_000})
    assert check(too_long) == ("node 'w': variable A takes 3000002 bytes, expected at most 131071",)
    assert check(node("w", env={"A": "x" * (131071 - 2)})) == ()
    assert check(node("w", scripts=("x" * 131072,)))[0].endswith("takes 131072 bytes, expected at most 131071")
    many = node("w", env={f"V{number}": "x" * 100_000 for number in range(3)})
    assert check(many) == ("node 'w': its variables, scripts and options take 300009 bytes, expected at most 262144",)


def test_a_name_made_of_a_long_host_name_is_cut() -> None:
    assert name_problem(shortened(f"agent-{'h' * 63}")) is None


def test_ports_that_cannot_be_listened_on() -> None:
    instances = (Instance("a1", Address("::1"), Port(0)),)
    assert check(node("n", p=NO_PORT, metrics_port=Port(53, "udp")), instances=instances) == (
        "instance 'a1' port 0/tcp cannot be listened on, expected 1/tcp to 65535/tcp",
        "node 'n' metrics port 53/udp cannot be listened on, expected 1/tcp to 65535/tcp",
        "node 'n' port 0/? cannot be listened on, expected 1/tcp to 65535/tcp",
    )


def test_values_no_process_can_be_given() -> None:
    assert check(node("n", env={"": "x", "A=B": "y"})) == (
        "node 'n' has a variable named '', which no process can be given",
        "node 'n' has a variable named 'A=B', which no process can be given",
    )
    nul = ("node 'n' has a NUL character in its scripts, interface, options or variables",)
    assert check(node("n", env={"A": "\0"})) == nul
    assert check(node("n", scripts=("a\0",))) == nul
    assert check(node("n", interface="\0")) == nul
    assert check(node("n", options=(Option("a", "\0"),))) == nul


def test_a_configuration_that_is_too_large_is_refused_at_once() -> None:
    nodes = tuple(node(f"w{number}", "a1" if number else "a2") for number in range(5))
    configuration = Configuration(instances=(Instance("a1"), Instance("a2")), nodes=nodes)

    def errors(sizes: Sizes) -> tuple[str, ...]:
        return validate(configuration, controller_port=2150, auto_assign_ports=True, sizes=sizes)

    assert errors(Sizes(5, 4)) == ()
    assert errors(Sizes(4, 3)) == (
        "the configuration has 5 nodes, expected at most 4 (--node-limit)",
        "instance 'a1' has 4 nodes, expected at most 3 (--node-limit-each)",
    )
