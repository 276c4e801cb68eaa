"""Properties of the configuration file, checked against zeek-client itself, and of port assignment."""

from __future__ import annotations

import configparser
import io
import json
import re
import shlex
import string

from hypothesis import given
from hypothesis import strategies as st
from zeekclient import types as reference

from zeekfleet.errors import ConfigurationError
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node
from zeekfleet.model.names import name_problem
from zeekfleet.model.types import UNSPECIFIED, Address, Port
from zeekfleet.planning.ini import parse_configuration
from zeekfleet.planning.ini_values import escape, interpolate
from zeekfleet.planning.ini_writer import format_configuration
from zeekfleet.planning.json_document import configuration_to_json
from zeekfleet.planning.ports import ROLE_ORDER, assign_metrics_ports, assign_ports
from zeekfleet.planning.validate import LISTENING_ROLES, validate

names = st.from_regex(r"[a-z0-9_][a-z0-9_.-]{0,11}", fullmatch=True).filter(lambda name: name_problem(name) is None)
any_names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", fullmatch=True).filter(
    lambda name: name_problem(name) is None
)
ports = st.none() | st.builds(Port, st.integers(1, 65535))
words = st.text(string.ascii_letters + string.digits + "/._-:+@ äß'\"\\$#;%=[]()", max_size=12)
addresses = (
    st.ip_addresses().filter(lambda address: not address.is_unspecified).map(lambda address: Address(str(address)))
)
interfaces = words.map(str.strip).filter(lambda text: not any(word[:1] in "#;" for word in text.split()))


DOUBTS = re.compile(r"; write \[.*\]:\d+$|is read as a part of it; comments stand")
"""Warnings about values that zeek-client writes, and that we write in the same way."""


script_names = words.filter(lambda word: word != "=" and not (word.endswith(",") and "=" not in word))
"""Names of scripts: what looks like a slip of the pen is refused in a file."""


@st.composite
def nodes(draw: st.DrawFn, name: str, instance: str) -> Node:
    return Node(
        name=name,
        instance=instance,
        role=draw(st.sampled_from(sorted(ROLE_ORDER, key=str))),
        state=State.RUNNING,
        p=draw(ports),
        scripts=draw(
            st.none() | st.lists(script_names, min_size=1, max_size=3).map(lambda found: tuple(sorted(found)))
        ),
        interface=draw(st.none() | interfaces),
        cpu_affinity=draw(st.none() | st.integers(0, 255)),
        env=draw(st.dictionaries(st.text(string.ascii_uppercase, min_size=1, max_size=5), words, max_size=3)),
        metrics_port=draw(ports),
    )


@st.composite
def configurations(draw: st.DrawFn, names: st.SearchStrategy[str] = names) -> Configuration:
    used = draw(st.lists(names, unique=True, min_size=1, max_size=8))
    split = draw(st.integers(1, len(used)))
    instances = []
    for name in used[:split]:
        port = draw(ports)
        instances.append(Instance(name, UNSPECIFIED if port is None else draw(addresses), port))
    found = [draw(nodes(name, draw(st.sampled_from(used[:split])))) for name in used[split:]]
    return Configuration(instances=tuple(instances), nodes=tuple(found))


def as_zeek_client(configuration: Configuration) -> reference.Configuration:
    theirs = reference.Configuration()
    theirs.id = configuration.id
    theirs.instances = [
        reference.Instance(entry.name, str(entry.host), entry.listen_port and entry.listen_port.number)
        for entry in configuration.instances
    ]
    theirs.nodes = [
        reference.Node(
            node.name,
            node.instance,
            reference.ClusterRole[node.role.name],
            port=node.p and node.p.number,
            scripts=None if node.scripts is None else list(node.scripts),
            interface=node.interface,
            cpu_affinity=node.cpu_affinity,
            env=dict(node.env),
            metrics_port=node.metrics_port and node.metrics_port.number,
        )
        for node in configuration.nodes
    ]
    return theirs


def customary(configuration: Configuration) -> bool:
    """Whether zeek-client can write it so that the words can be read back."""

    def survives(spelling: str, word: str) -> bool:
        try:
            return "%" not in word and shlex.split(spelling) == [word]
        except ValueError:
            return False

    def quoted(word: str) -> str:
        return f'"{word}"' if len(word.split()) > 1 else word

    return all(
        "%" not in (node.interface or "")
        and all(survives(quoted(script), script) for script in node.scripts or ())
        and all(survives(f"{key}={quoted(value)}", f"{key}={value}") for key, value in node.env.items())
        for node in configuration.nodes
    )


@given(configurations(any_names))
def test_our_files_are_read_back(configuration: Configuration) -> None:
    text = format_configuration(configuration)
    parsed = parse_configuration(text, source="f", hostname="h")
    assert not [warning for warning in parsed.warnings if not DOUBTS.search(warning)]
    assert parsed.configuration.instances == tuple(sorted(configuration.instances, key=lambda entry: entry.name))
    assert parsed.configuration.nodes == tuple(sorted(configuration.nodes, key=lambda node: node.name))


@given(configurations())
def test_zeek_client_reads_our_files_the_same(configuration: Configuration) -> None:
    parser = configparser.ConfigParser(allow_no_value=True)
    parser.read_string(format_configuration(configuration))
    theirs = reference.Configuration.from_config_parser(parser)
    assert theirs is not None
    expected = as_zeek_client(configuration)
    assert theirs.nodes == sorted(expected.nodes)
    assert [(entry.name, entry.host) for entry in theirs.instances] == [
        (entry.name, entry.host) for entry in sorted(expected.instances)
    ]


@given(configurations())
def test_files_are_byte_equal_to_zeek_clients(configuration: Configuration) -> None:
    if customary(configuration):
        text = io.StringIO()
        as_zeek_client(configuration).to_config_parser().write(text)
        assert format_configuration(configuration) == text.getvalue()


@given(configurations())
def test_json_is_byte_equal_to_zeek_clients(configuration: Configuration) -> None:
    def dump(document: object) -> str:
        return json.dumps(document, indent=2, sort_keys=True)

    assert dump(configuration_to_json(configuration)) == dump(as_zeek_client(configuration).to_json_data())


@given(st.text())
def test_any_text_is_a_configuration_or_an_error(text: str) -> None:
    problems: tuple[str, ...] = ()
    try:
        parse_configuration(text, source="f", hostname="h")
    except ConfigurationError as error:
        problems = error.errors
    assert all(problem.startswith("f: ") for problem in problems)


@given(st.text("%()ab s", max_size=30))
def test_percent_signs_survive(text: str) -> None:
    assert interpolate(escape(text), {"a": "x", "b": "y"}) == text


@given(configurations(), st.integers(2000, 2300), st.integers(2000, 9000))
def test_assigned_ports_are_free_and_complete(configuration: Configuration, start: int, metrics_start: int) -> None:
    assigned = assign_metrics_ports(assign_ports(configuration, start=start), start=metrics_start)
    kept = {node.name: node for node in configuration.nodes}
    fresh = [node.p for node in assigned.nodes if node.p and kept[node.name].p is None]
    taken = [node.p for node in configuration.nodes if node.p]
    taken += [entry.listen_port for entry in configuration.instances if entry.listen_port]
    assert len(set(fresh)) == len(fresh)
    assert not set(fresh) & set(taken)
    assert all(port >= Port(start) for port in fresh)
    hosts = {entry.name: entry.host for entry in assigned.instances}
    used = [(entry.host, entry.listen_port) for entry in assigned.instances if entry.listen_port]
    used += [(hosts[node.instance], node.p) for node in assigned.nodes if node.p]
    used += [
        (hosts[node.instance], kept[node.name].metrics_port) for node in assigned.nodes if kept[node.name].metrics_port
    ]
    for node in assigned.nodes:
        assert (node.p is not None) == (kept[node.name].p is not None or node.role in LISTENING_ROLES)
        assert node.metrics_port is not None
        if kept[node.name].metrics_port is None:
            assert (hosts[node.instance], node.metrics_port) not in used
            used.append((hosts[node.instance], node.metrics_port))


@given(configurations(), st.randoms(use_true_random=False))
def test_assignment_and_validation_do_not_depend_on_the_order(configuration: Configuration, random: object) -> None:
    shuffled_nodes = list(configuration.nodes)
    random.shuffle(shuffled_nodes)  # type: ignore[attr-defined]
    shuffled = Configuration(id=configuration.id, instances=configuration.instances[::-1], nodes=tuple(shuffled_nodes))

    def by_name(found: Configuration) -> list[Node]:
        return sorted(found.nodes, key=lambda node: node.name)

    assert by_name(assign_metrics_ports(assign_ports(shuffled))) == by_name(
        assign_metrics_ports(assign_ports(configuration))
    )
    assert validate(shuffled, controller_port=2150, auto_assign_ports=False) == validate(
        configuration, controller_port=2150, auto_assign_ports=False
    )


def test_nodes_without_a_cluster_role_get_no_ports() -> None:
    configuration = Configuration(instances=(Instance("a"),), nodes=(Node("n", "a", ClusterRole.NONE, State.RUNNING),))
    assert assign_metrics_ports(assign_ports(configuration)) == configuration
