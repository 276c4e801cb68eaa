"""The configuration file: zeek-client's own behaviour, and where we differ on purpose."""

from __future__ import annotations

import configparser
import io
import json
from pathlib import PurePosixPath

import pytest
from zeekclient import types as reference

from zeekfleet.errors import ConfigurationError
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node, Option
from zeekfleet.model.types import Address, Port
from zeekfleet.planning.ini import parse_configuration
from zeekfleet.planning.ini_writer import format_configuration
from zeekfleet.planning.json_document import configuration_to_json

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


def test_without_any_instance_nodes_go_to_this_host() -> None:
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


def test_empty_values_mean_the_same_as_for_zeek_client() -> None:
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
        ("port = 1_0", "key 'port': '1_0' is wrong, expected a port number from 1 to 65535"),
        ("port = 0", "key 'port': '0' is wrong, expected a port number from 1 to 65535"),
        ("port =", "key 'port': '' is wrong, expected a port number from 1 to 65535"),
        ("metrics_port = 65536", "key 'metrics_port': '65536' is wrong, expected a port number from 1 to 65535"),
        ("cpu_affinity = -1", "key 'cpu_affinity': '-1' is wrong, expected the number of a CPU, counted from 0"),
        ("cpu_affinity = 1.5", "key 'cpu_affinity': '1.5' is wrong, expected the number of a CPU, counted from 0"),
        (f"env = A={'x' * 3_000_000}", f"key 'env': 'A={'x' * 198}...' is wrong, expected at most 262144 bytes"),
        (
            "memory_limit = 1",
            "key 'memory_limit': '1' is wrong, expected a number of bytes, at least 16777216, such as 512M or 2G",
        ),
        ("env = AB", "key 'env': 'AB' is wrong, expected KEY=VALUE, which 'AB' is not"),
        ("env = A=1 A=2", "key 'env': 'A=1 A=2' is wrong, expected each variable once, and not 'A' twice"),
        (
            'env = A="1",B="2"',
            "key 'env': 'A=\"1\",B=\"2\"' is wrong, expected variables separated by spaces, not by commas",
        ),
        (
            "scripts = a.zeek, b.zeek",
            "key 'scripts': 'a.zeek, b.zeek' is wrong, expected names of scripts separated by spaces, and no 'a.zeek,'",
        ),
        ("interface = lo ; sniff", "key 'interface': 'lo ; sniff' is wrong, expected comments on lines of their own"),
        ("interface = lo\npcap_file = t", "key 'pcap_file': is given beside interface, expected one of the two"),
        (
            "interface = lo\nenv = ZEEKFLEET_PCAP_FILE=t",
            "key 'env': is given beside interface, expected one of the two",
        ),
        ("cpu_affinity = 1\ncpus = 2-3", "key 'cpus': is given beside cpu_affinity, expected one of the two"),
        (
            "nice = 1\nenv = ZEEKFLEET_NICE=2",
            "key 'env': sets ZEEKFLEET_NICE, for which there is a key beside it, expected one of the two",
        ),
        ("type = proxy", "key 'type': 'proxy' contradicts role 'worker', expected one of the two"),
        ("type = boss", "key 'type': 'boss' is wrong, expected manager, logger, proxy or worker"),
        ("interfce = lo", "key 'interfce': is unknown (did you mean 'interface'?)"),
        ("zebra = 1", "key 'zebra': is unknown"),
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
        ("[fd00::1:2151", "ADDRESS:PORT, [ADDRESS]:PORT, or nothing when the agent connects to the controller"),
        (
            "10.0.0.010:2151",
            "an IPv4 address of four numbers from 0 to 255 without leading zeros, which '10.0.0.010' is not",
        ),
        ("127.1:2151", "an IPv4 address of four numbers from 0 to 255 without leading zeros, which '127.1' is not"),
        (
            "0x7f000001:1",
            "an IPv4 address of four numbers from 0 to 255 without leading zeros, which '0x7f000001' is not",
        ),
        (
            "0.0.0.0:2151",
            "an address that can be connected to, not 0.0.0.0; an agent that connects has none",
        ),
        ("[::]:2151", "an address that can be connected to, not ::; an agent that connects has none"),
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
        ("[x] port = 1\n", "f.ini: line 1: section [x]: 'port = 1' stands after the section's name, expected nothing"),
        (
            "[x]\ninterface = lo\n  port = 1\n",
            "f.ini: line 3: section [x], key 'interface': the indented line 'port = 1' would be a part of its value,"
            " which only env and scripts may have",
        ),
        (
            "[instances]\na\n  b\n",
            "f.ini: line 3: section [instances], key 'a': the indented line 'b' would be a part of its value,"
            " which only env and scripts may have",
        ),
        (
            "[x]\nscripts = a.zeek\n  b.zeek\n # more\n\n  env = A=1\n",
            "f.ini: line 6: section [x], key 'scripts': the indented line 'env = A=1' would be a part of its value;"
            " a line of its own is not indented",
        ),
        (
            "[x]\nenv = A=1\n  [y]\n",
            "f.ini: line 3: section [x], key 'env': the indented line '[y]' would be a part of its value;"
            " a line of its own is not indented",
        ),
        ("[Instances]\na\n", "f.ini: section [Instances], expected [instances]"),
        ("[default]\nrole=worker\n", "f.ini: section [default], expected [DEFAULT]"),
    ],
)
def test_bad_syntax_names_the_line(text: str, expected: str) -> None:
    assert problems(text) == (expected,)


def test_ignored_keys_give_warnings() -> None:
    assert warnings("[x]\ninstance=a\ntype=worker\nstate=RUNNING\n") == (
        "f.ini: section [x], key 'state': has no effect, ignored",
        "f.ini: section [x], key 'type': an old name for role",
    )
    assert warnings("[x]\ninstance=a\ntype=worker\nrole=Supervisor::WORKER\n") == (
        "f.ini: section [x], key 'type': an old name for role, ignored",
    )


def test_unknown_keys_may_be_warned_of_only() -> None:
    text = "[x]\ninstance=a\nrole=worker\nzebra=1\nprot=1\n"
    parsed = parse_configuration(text, source="f.ini", hostname="host", lax=True)
    assert parsed.warnings == (
        "f.ini: section [x], key 'prot': unknown, ignored (did you mean 'port'?)",
        "f.ini: section [x], key 'zebra': unknown, ignored",
    )
    assert parsed.configuration.nodes == (Node("x", "a", ClusterRole.WORKER, State.RUNNING),)


def test_keys_that_other_values_refer_to_are_not_unknown() -> None:
    text = "[DEFAULT]\nnet=eth\n[x]\ninstance=a\nrole=worker\nNumber=1\ninterface=%(net)s%(number)s\n"
    assert parse(text).nodes[0].interface == "eth1"


def test_warnings_say_how_a_value_was_read() -> None:
    assert warnings(FULL) == (
        "f.ini: section [instances], key 'agent-d': read as address fd00::2, port 2153; write [fd00::2]:2153",
    )
    text = "[x]\ninstance=a\nrole=worker\nenv=A=1,B=2 C=x,\nscripts = a.zeek # b.zeek\n"
    assert warnings(text) == (
        "f.ini: section [x], key 'scripts': '#' is read as a part of it; comments stand on lines of their own",
        "f.ini: section [x], key 'env': read as one variable A with the value '1,B=2';"
        " variables are separated by spaces",
        "f.ini: section [x], key 'env': read as one variable C with the value 'x,'; variables are separated by spaces",
    )
    assert warnings("[x]\ninstance=a\nrole=worker\nenv=COLORS=di=1,ln=2 B='a,b' C=1,2\n") == ()


def test_lists_may_span_several_lines() -> None:
    node = parse(
        "[x]\ninstance=a\nrole=worker\nscripts=\n  a.zeek\n  # not this\n\n  b.zeek\nenv = A=1\n  B=2\n"
    ).nodes[0]
    assert (node.scripts, node.env) == (("a.zeek", "b.zeek"), {"A": "1", "B": "2"})


def test_only_a_newline_ends_a_line() -> None:
    node = parse("[x]\r\ninstance=a\r\nrole=worker\r\nenv=A=1\u2028  env=2 B=3\r\n").nodes[0]
    assert node.env == {"A": "1\u2028", "env": "2", "B": "3"}


def test_a_byte_order_mark_is_ignored() -> None:
    assert parse("\ufeff[x]\ninstance=a\nrole=worker\n").nodes[0].name == "x"


def test_a_nodes_own_key_overrides_the_alternative_in_the_defaults() -> None:
    text = "[DEFAULT]\ntype=worker\ninterface=lo\n[m]\ninstance=a\nrole=manager\npcap_file=t\n[w]\ninstance=a\n"
    manager, worker = parse(text).nodes
    assert (manager.role, manager.interface, manager.env) == (ClusterRole.MANAGER, None, {"ZEEKFLEET_PCAP_FILE": "t"})
    assert (worker.role, worker.interface) == (ClusterRole.WORKER, "lo")


class Directory:
    """A directory that holds some files."""

    def __init__(self, *files: str) -> None:
        self._files = files

    def absolute(self, path: str) -> str:
        return str(PurePosixPath("/etc/fleet") / path)

    def is_file(self, path: str) -> bool:
        return path in self._files


def test_relative_paths_of_scripts_beside_the_file_become_absolute() -> None:
    words = "local policy/tuning detect.zeek ./mine ../other.zeek /abs.zeek sub/x.zeek A::b=./c missing.zeek"
    text = f"[x]\ninstance=a\nrole=worker\nscripts={words}\n"
    node = parse(text, base=Directory("detect.zeek", "sub/x.zeek", "A::b=./c", "local.zeek")).nodes[0]
    assert set(node.scripts or ()) == {
        "local",
        "policy/tuning",
        "/etc/fleet/detect.zeek",
        "/etc/fleet/mine",
        "/etc/fleet/../other.zeek",
        "/abs.zeek",
        "/etc/fleet/sub/x.zeek",
        "A::b=./c",
        "missing.zeek",
    }
    assert parse(text).nodes[0].scripts == tuple(sorted(words.split()))


def test_relative_paths_of_traces_become_absolute() -> None:
    text = "[x]\ninstance=a\nrole=worker\npcap_file=traces/a.pcap\n"
    assert parse(text, base=Directory()).nodes[0].env == {"ZEEKFLEET_PCAP_FILE": "/etc/fleet/traces/a.pcap"}
    assert parse(text).nodes[0].env == {"ZEEKFLEET_PCAP_FILE": "traces/a.pcap"}


@pytest.mark.parametrize(
    "node",
    [
        Node("x", "a", ClusterRole.WORKER, State.RUNNING, interface="eth0 "),
        Node("x", "a", ClusterRole.WORKER, State.RUNNING, interface="eth0\n"),
        Node("x", "a", ClusterRole.WORKER, State.RUNNING, env={"A": "1\n  2"}),
        Node("x", "a", ClusterRole.WORKER, State.RUNNING, env={"A": "1\n# 2"}),
        Node("DEFAULT", "a", ClusterRole.WORKER, State.RUNNING),
    ],
)
def test_values_that_a_file_cannot_hold_are_refused(node: Node) -> None:
    configuration = Configuration(id="i", instances=(Instance("a"),), nodes=(node,))
    with pytest.raises(ConfigurationError, match="configuration i can be written as JSON, but not as INI"):
        format_configuration(configuration)


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


def test_words_that_zeek_clients_quoting_would_break_are_quoted_in_full() -> None:
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


def test_json_is_sorted_and_omits_unknown_addresses() -> None:
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
