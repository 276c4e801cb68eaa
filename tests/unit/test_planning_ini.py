"""The configuration file: zeek-client's own behaviour, and where we differ on purpose."""

from __future__ import annotations

import configparser
import io
import json

import pytest
from zeekclient import types as reference

from zeekfleet.errors import ConfigurationError
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node, Option
from zeekfleet.model.types import Address, Port
from zeekfleet.planning.ini import configuration_to_json, format_configuration, parse_configuration

FULL = """
[instances]
agent-a
agent-b = 10.0.0.1:2151
agent-c = [fd00::1]:2152
agent-d = fd00::2:2153

[manager]
instance = agent-a
role = manager
port = 5000
metrics_port: 9001

[worker-1]
instance = agent-b
role = Supervisor::Worker
interface = eth0
cpu_affinity = 3
scripts = b.zeek "with space.zeek" a.zeek
env = A=1 B="two words" C=x=y
"""


def parse(text: str, **options: object) -> Configuration:
    return parse_configuration(text, source="f.ini", hostname="host", **options).configuration  # type: ignore[arg-type]


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        parse(text)
    return caught.value.errors


def warnings(text: str) -> tuple[str, ...]:
    return parse_configuration(text, source="f.ini", hostname="host").warnings


def parse_as_zeek_client(text: str) -> reference.Configuration | None:
    parser = configparser.ConfigParser(allow_no_value=True)
    parser.read_string(text)
    return reference.Configuration.from_config_parser(parser)


def test_a_full_file() -> None:
    configuration = parse(FULL)
    assert configuration.instances == (
        Instance("agent-a"),
        Instance("agent-b", Address("10.0.0.1"), Port(2151)),
        Instance("agent-c", Address("fd00::1"), Port(2152)),
        Instance("agent-d", Address("fd00::2"), Port(2153)),
    )
    assert configuration.nodes == (
        Node("manager", "agent-a", ClusterRole.MANAGER, State.RUNNING, p=Port(5000), metrics_port=Port(9001)),
        Node(
            "worker-1",
            "agent-b",
            ClusterRole.WORKER,
            State.RUNNING,
            scripts=("a.zeek", "b.zeek", "with space.zeek"),
            interface="eth0",
            cpu_affinity=3,
            env={"A": "1", "B": "two words", "C": "x=y"},
        ),
    )


def test_a_full_file_reads_and_writes_as_zeek_client_does() -> None:
    theirs = parse_as_zeek_client(FULL)
    assert theirs is not None
    ours = parse(FULL)
    written = format_configuration(ours)
    reference_text = _written_by_zeek_client(theirs)
    assert written == reference_text
    assert parse(written).nodes == ours.nodes


def _written_by_zeek_client(configuration: reference.Configuration) -> str:
    text = io.StringIO()
    configuration.to_config_parser().write(text)
    return text.getvalue()


def test_every_parse_gives_a_fresh_id() -> None:
    assert parse(FULL).id != parse(FULL).id


def test_without_instances_section_they_follow_from_the_nodes() -> None:
    text = "[x]\nrole=worker\ninstance=b\n[y]\nrole=worker\ninstance=a\n"
    assert parse(text).instances == (Instance("a"), Instance("b"))


def test_without_any_instance_this_host_is_meant() -> None:
    configuration = parse("[x]\nrole=worker\n[y]\nrole=manager\n")
    assert configuration.instances == (Instance("agent-host"),)
    assert {node.instance for node in configuration.nodes} == {"agent-host"}


def test_instances_named_by_some_nodes_only() -> None:
    assert problems("[x]\nrole=worker\n[y]\nrole=worker\ninstance=a\n") == (
        "f.ini: section [x], key 'instance': is missing, expected in all nodes' sections or in none",
    )
    assert problems("[instances]\na\n[x]\nrole=worker\n") == (
        "f.ini: section [instances] must be absent when the nodes name no instance",
    )


def test_an_empty_file_is_an_empty_configuration() -> None:
    configuration = parse("")
    assert (configuration.instances, configuration.nodes) == ((), ())
    assert format_configuration(configuration) == ""


def test_empty_values_are_as_with_zeek_client() -> None:
    text = "[x]\nrole=worker\ninstance=a\nscripts=\nenv=\ninterface=\n"
    node = parse(text).nodes[0]
    theirs = parse_as_zeek_client(text)
    assert theirs is not None
    assert (node.scripts, node.env, node.interface) == (None, {}, "")
    assert (theirs.nodes[0].scripts, theirs.nodes[0].env, theirs.nodes[0].interface) == (None, {}, "")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("port = x", "key 'port': 'x' is wrong, expected a port number from 1 to 65535"),
        ("port = 0", "key 'port': '0' is wrong, expected a port number from 1 to 65535"),
        ("port =", "key 'port': '' is wrong, expected a port number from 1 to 65535"),
        ("metrics_port = 65536", "key 'metrics_port': '65536' is wrong, expected a port number from 1 to 65535"),
        ("cpu_affinity = -1", "key 'cpu_affinity': '-1' is wrong, expected the number of a CPU, counted from 0"),
        ("cpu_affinity = 1.5", "key 'cpu_affinity': '1.5' is wrong, expected the number of a CPU, counted from 0"),
        ("env = AB", "key 'env': 'AB' is wrong, expected KEY=VALUE, which 'AB' is not"),
        (
            'scripts = "a',
            "key 'scripts': '\"a' is wrong, expected shell words with closed quotes (no closing quotation)",
        ),
        ("interface", "key 'interface': needs a value, expected KEY = VALUE"),
        ("Port = 1\nport = 2", "key 'port': is given more than once"),
        (
            "env = %(interface)s\ninterface = %(env)s",
            "key 'env': expected at most 10 values that refer to one another by %(key)s",
        ),
    ],
)
def test_bad_values_name_source_section_key_and_expectation(line: str, expected: str) -> None:
    assert problems(f"[x]\nrole=worker\ninstance=a\n{line}\n")[0] == f"f.ini: section [x], {expected}"


def test_bad_roles() -> None:
    assert problems("[x]\ninstance=a\nrole=boss\n") == (
        "f.ini: section [x], key 'role': 'boss' is wrong, expected manager, logger, proxy or worker",
    )
    missing = ("f.ini: section [x], key 'role': is missing, expected manager, logger, proxy or worker",)
    assert problems("[x]\ninstance=a\n") == missing
    assert problems("[x]\ninstance=a\nrole=\n") == missing


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("10.0.0.1", "ADDRESS:PORT, [ADDRESS]:PORT, or nothing when the agent connects to the controller"),
        ("10.0.0.1:", "ADDRESS:PORT, [ADDRESS]:PORT, or nothing when the agent connects to the controller"),
        (":2151", "ADDRESS:PORT, [ADDRESS]:PORT, or nothing when the agent connects to the controller"),
        ("host:2151", "an IPv4 or IPv6 address before the port, which 'host' is not"),
        ("10.0.0.1:99999", "a port number from 1 to 65535"),
        ("fe80::1%lo:2151", "an address without a zone before the port, not 'fe80::1%lo'"),
    ],
)
def test_bad_instances(value: str, expected: str) -> None:
    assert problems(f"[instances]\na = {value}\n") == (
        f"f.ini: section [instances], key 'a': '{value}' is wrong, expected {expected}",
    )


def test_host_names_are_resolved_by_the_resolver() -> None:
    def resolve(name: str) -> str:
        if name != "there":
            raise OSError("no such host")
        return "10.1.1.1"

    assert parse("[instances]\na=there:2151\n", resolver=resolve).instances == (
        Instance("a", Address("10.1.1.1"), Port(2151)),
    )
    with pytest.raises(ConfigurationError, match=r"'elsewhere' does not \(no such host\)"):
        parse("[instances]\na=elsewhere:2151\n", resolver=resolve)


def test_all_problems_come_at_once() -> None:
    assert len(problems("[instances]\na=b\n[x]\nrole=worker\ninstance=a\nport=x\n[y]\nrole=boss\ninstance=a\n")) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = y\n[x]\n", "f.ini: line 1: expected a section such as [instances] before anything else"),
        ("[x]\n[y]\n[x]\n", "f.ini: line 3: section [x] is given more than once"),
        ("[x]\nport=1\nport=2\n", "f.ini: line 3: section [x], key 'port': is given more than once"),
        ("[x]\n= 3\n", "f.ini: line 2: expected [SECTION] or KEY = VALUE, found '= 3\\n'"),
    ],
)
def test_bad_syntax_names_the_line(text: str, expected: str) -> None:
    assert problems(text) == (expected,)


def test_warnings_for_what_is_ignored() -> None:
    assert warnings("[x]\ninstance=a\ntype=worker\nstate=RUNNING\nzebra=1\n") == (
        "f.ini: section [x], key 'zebra': unknown, ignored",
        "f.ini: section [x], key 'type': an old name for role",
        "f.ini: section [x], key 'state': has no effect, ignored",
    )
    assert warnings("[x]\ninstance=a\ntype=boss\nrole=worker\n") == (
        "f.ini: section [x], key 'type': an old name for role, ignored",
    )
    assert warnings(FULL) == ()


def test_type_works_for_role() -> None:
    assert parse("[x]\ninstance=a\ntype=proxy\n").nodes[0].role is ClusterRole.PROXY


def test_percent_signs_are_kept() -> None:
    node = parse("[x]\nrole=worker\ninstance=a\nenv=A=100% B=%d C=%%x D=%(nokey)s\ninterface=%(instance)s0\n").nodes[0]
    assert node.env == {"A": "100%", "B": "%d", "C": "%x", "D": "%(nokey)s"}
    assert node.interface == "a0"


def test_zeek_client_reads_the_percent_signs_we_write() -> None:
    configuration = parse("[x]\nrole=worker\ninstance=a\nenv=A=100% B=%(instance)s C=%%%%\n")
    assert configuration.nodes[0].env == {"A": "100%", "B": "a", "C": "%%"}
    written = format_configuration(configuration)
    assert parse(written).nodes == configuration.nodes
    theirs = parse_as_zeek_client(written)
    assert theirs is not None
    assert theirs.nodes[0].env == configuration.nodes[0].env


def test_instance_names_keep_their_case_unless_nodes_name_the_lower_one() -> None:
    assert parse("[instances]\nAgent\n[x]\nrole=worker\ninstance=Agent\n").instances == (Instance("Agent"),)
    lowered = "[instances]\nAgent\n[x]\nrole=worker\ninstance=agent\n"
    assert parse(lowered).instances == (Instance("agent"),)
    assert warnings(lowered) == ("f.ini: section [instances], key 'Agent': taken for 'agent', as the nodes name it",)


def test_defaults_reach_nodes_but_not_instances() -> None:
    configuration = parse("[DEFAULT]\nrole=worker\nInterface=lo\n[instances]\na\n[x]\ninstance=a\n")
    assert configuration.instances == (Instance("a"),)
    assert (configuration.nodes[0].role, configuration.nodes[0].interface) == (ClusterRole.WORKER, "lo")


def test_words_that_customary_quoting_would_tear_are_quoted_in_full() -> None:
    awkward = ("", "it's", 'say "x" now', "back\\slash", "$HOME")
    node = Node(
        "x",
        "a",
        ClusterRole.WORKER,
        State.RUNNING,
        scripts=tuple(sorted(awkward)),
        env={"A B": "c", "D": 'it\'s "so"', "E": ""},
    )
    configuration = Configuration(instances=(Instance("a"),), nodes=(node,))
    assert parse(format_configuration(configuration)).nodes == (node,)


def test_json_sorts_and_leaves_out_what_is_not_known() -> None:
    node = Node("x", "b", ClusterRole.LOGGER, State.RUNNING, options=(Option("b", "2"), Option("a", "1")))
    configuration = Configuration(
        id="i",
        instances=(Instance("b"), Instance("a", Address("10.0.0.1")), Instance("c", Address("10.0.0.3"), Port(7))),
        nodes=(node,),
    )
    document = configuration_to_json(configuration)
    assert document["instances"] == [
        {"name": "a", "host": "10.0.0.1"},
        {"name": "b"},
        {"name": "c", "host": "10.0.0.3", "port": 7},
    ]
    assert document["nodes"][0]["options"] == [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]
    assert json.loads(json.dumps(document)) == document
