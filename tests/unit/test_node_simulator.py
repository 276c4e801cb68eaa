"""The pure parts of the simulated node: identifiers, options, dispatch, behaviour."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zeekfleet.broker.events.node import NodeDispatchRequest
from zeekfleet.errors import ConfigurationError, SettingsError
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.management import Result
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import NO_PORT, Address, Port
from zeekfleet.node.simulator import behaviour, configuration, options, zeek_json
from zeekfleet.node.simulator.behaviour import Behaviour
from zeekfleet.node.simulator.dispatch import answer
from zeekfleet.node.simulator.identifiers import cluster_nodes_text, identifiers, without_others

LOOPBACK = Address("127.0.0.1")
CLUSTER = {
    "manager": ClusterEndpoint(ClusterRole.MANAGER, LOOPBACK, Port(2200), metrics_port=Port(9001)),
    "logger": ClusterEndpoint(ClusterRole.LOGGER, LOOPBACK, Port(2201)),
    "w1": ClusterEndpoint(ClusterRole.WORKER, LOOPBACK, NO_PORT, interface="eth0"),
}


def dispatch(*action: str, nodes: frozenset[str] = frozenset(), config: NodeConfig | None = None) -> Result | None:
    config = config or NodeConfig(name="w1", cluster=CLUSTER)
    response = answer(NodeDispatchRequest("r", action, nodes), "w1", identifiers(config))
    if response is not None:
        assert response.reqid == response.result.reqid == "r"
        assert response.result.node == "w1"
        assert response.result.instance is None
    return response.result if response else None


@pytest.mark.parametrize(
    ("action", "error"),
    [
        ((), "no dispatch arguments provided"),
        (("get_id_value",), "get_id_value expects name of global identifier"),
        (("get_id_value", "nosuch"), "unknown id"),
        (("get_id_value", "Zeekfleet::without_value"), "no ID value"),
        (("frobnicate",), "dispatch frobnicate unknown"),
        (("",), "dispatch  unknown"),
    ],
)
def test_errors_of_a_dispatch_to_the_letter(action: tuple[str, ...], error: str) -> None:
    result = dispatch(*action)
    assert result is not None
    assert (result.success, result.error, result.data) == (False, error, None)


def test_a_dispatch_for_others_gets_no_answer() -> None:
    assert dispatch("get_id_value", "bits_per_uid", nodes=frozenset({"w10", "w"})) is None
    assert dispatch(nodes=frozenset({"w10"})) is None


def test_a_value_comes_as_json_text() -> None:
    result = dispatch("get_id_value", "bits_per_uid", nodes=frozenset({"w1", "w2"}))
    assert result is not None
    assert (result.success, result.data, result.error) == (True, "96", None)


def test_cluster_nodes_look_as_zeek_writes_them() -> None:
    # Taken from Zeek 9.0.0-rc1 with the same layout, keys sorted.
    expected = (
        '{"logger":{"node_type":"Cluster::LOGGER","ip":"127.0.0.1","zone_id":"","p":{"port":2201,"proto":"tcp"},'
        '"manager":"manager"},"manager":{"node_type":"Cluster::MANAGER","ip":"127.0.0.1","zone_id":"",'
        '"p":{"port":2200,"proto":"tcp"},"metrics_port":{"port":9001,"proto":"tcp"}},'
        '"w1":{"node_type":"Cluster::WORKER","ip":"127.0.0.1","zone_id":"","p":{"port":0,"proto":"unknown"},'
        '"manager":"manager"}}'
    )
    assert cluster_nodes_text(NodeConfig(name="w1", cluster=CLUSTER)) == expected


def test_identifiers_follow_the_configuration() -> None:
    worker = identifiers(NodeConfig(name="w1", cluster=CLUSTER, interface="eth0"))
    manager = identifiers(NodeConfig(name="manager", cluster=CLUSTER))
    alone = identifiers(NodeConfig(name="alone"))
    assert worker["Cluster::node"] == ("string", '"w1"')
    assert worker["interfaces"] == ("string", '"eth0"')
    assert worker["Log::default_rotation_interval"] == ("interval", '"1.0 day"')
    assert worker["Cluster::manager_is_logger"] == ("bool", "false")
    assert manager["Log::default_rotation_interval"] == ("interval", '"1.0 hr"')
    assert manager["Telemetry::metrics_port"] == ("port", '{"port":9001,"proto":"tcp"}')
    assert alone["Log::default_rotation_interval"] == ("interval", '"0 secs"')
    assert alone["Cluster::node"] == ("string", '""')
    assert alone["Log::enable_local_logging"] == ("bool", "true")
    assert "Site::local_nets" in alone
    assert "Site::local_nets" not in identifiers(NodeConfig(name="bare", bare_mode=True))


def test_all_values_are_json() -> None:
    for name, (_, text) in identifiers(NodeConfig(name='w"1\\', cluster=CLUSTER)).items():
        if isinstance(text, str):
            json.loads(text)
        else:
            assert name == "Zeekfleet::without_value"


def test_options_among_the_scripts_count_in_zeeks_order() -> None:
    config = NodeConfig(
        name="w1",
        addl_base_scripts=("Notice::mail_dest=first", "My::count=1"),
        addl_user_scripts=("some/script", "Notice::mail_dest=a = b", "Site::local_nets={10.0.0.0/8, fd00::/8}"),
    )
    table = identifiers(config)
    assert table["Notice::mail_dest"] == ("string", '"a = b"')
    assert table["My::count"] == ("count", "1")
    assert table["Site::local_nets"] == ("set", '["10.0.0.0/8","fd00::/8"]')
    assert "some/script" not in table


@pytest.mark.parametrize("option", ["LogAscii::use_json=yes", "Log::default_rotation_interval=2", "bits_per_uid=-1"])
def test_an_option_of_the_wrong_type_is_named(option: str) -> None:
    name, _, value = option.partition("=")
    with pytest.raises(options.TypeClashError, match=rf"type clash in assignment \({name} = {value}\)"):
        identifiers(NodeConfig(name="w1", addl_user_scripts=(option,)))


@pytest.mark.parametrize(
    ("text", "kind", "rendered"),
    [
        ("T", "bool", "true"),
        ("5", "count", "5"),
        ("-5", "int", "-5"),
        ("0.5", "double", "0.5"),
        ("80/udp", "port", '{"port":80,"proto":"udp"}'),
        ("90sec", "interval", '"1.0 min 30.0 secs"'),
        ("1.5 days", "interval", '"1.0 day 12.0 hrs"'),
        ("10.0.0.0/8", "subnet", '"10.0.0.0/8"'),
        ("[::1]", "addr", '"::1"'),
        ('{"a",b, 3}', "set", '["a","b",3]'),
        ("{}", "set", "[]"),
        ("some text", "string", '"some text"'),
        ("", "string", '""'),
    ],
)
def test_the_text_of_an_unknown_option_tells_its_type(text: str, kind: str, rendered: str) -> None:
    assert options.render(text) == (kind, rendered)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 secs"),
        (90, "1.0 min 30.0 secs"),
        (86400 + 7200 + 180 + 4.5, "1.0 day 2.0 hrs 3.0 mins 4.0 secs 500.0 msecs"),
        (36 * 3600, "1.0 day 12.0 hrs"),
        (0.01, "10.0 msecs"),
        (-90, "-1.0 min -30.0 secs"),
        (2e-6, "2.0 usecs"),
        (604800, "7.0 days"),
    ],
)
def test_intervals_look_as_zeek_writes_them(seconds: float, text: str) -> None:
    assert zeek_json.interval(seconds) == f'"{text}"'


def test_the_configuration_file_holds_what_the_node_needs(tmp_path: Path) -> None:
    config = NodeConfig(name="w1", cluster=CLUSTER, env={"A": "B"}, bare_mode=True, cpu_affinity=3)
    for name, content in configuration.files(config, cluster_nodes_text(config)).items():
        (tmp_path / name).write_text(content)
    environment = {configuration.CONFIG_VARIABLE: configuration.CONFIG_FILE}
    loaded = configuration.load(environment, tmp_path)
    assert loaded == without_others(config)
    assert set(loaded.cluster) == {"w1", "logger"}
    table = identifiers(loaded, configuration.cluster_nodes_reader(environment, tmp_path))
    whole = identifiers(config)
    found = table["Cluster::nodes"][1]
    assert callable(found)
    assert found() == whole["Cluster::nodes"][1]
    assert {**table, "Cluster::nodes": None} == {**whole, "Cluster::nodes": None}
    (tmp_path / configuration.CLUSTER_FILE).unlink()
    assert found() is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "No such file"), (b"{", "holds no node configuration"), (b'{"@data-type":"count","data":1}', "holds no")],
)
def test_an_unusable_configuration_file_is_named(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "c.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=problem) as caught:
        configuration.load({configuration.CONFIG_VARIABLE: str(path)}, tmp_path)
    assert str(path) in str(caught.value)


def test_a_name_is_enough_for_a_configuration(tmp_path: Path) -> None:
    assert configuration.load({"CLUSTER_NODE": "w"}, tmp_path) == NodeConfig(name="w")
    with pytest.raises(ConfigurationError, match="CLUSTER_NODE"):
        configuration.load({}, tmp_path)


def test_missing_input_is_told_in_zeeks_words(tmp_path: Path) -> None:
    script = tmp_path / "there.zeek"
    script.touch()
    (tmp_path / "trace.pcap").touch()
    there = NodeConfig(
        name="w",
        addl_base_scripts=(str(script), str(script.with_suffix("")), "/no/such=option"),
        addl_user_scripts=("not/looked/for",),
        pcap_file="trace.pcap",
    )
    assert configuration.missing_input(there, tmp_path) is None
    gone = NodeConfig(name="w", addl_base_scripts=("/no/such",))
    assert configuration.missing_input(gone, tmp_path) == "fatal error: can't find /no/such"
    untraced = NodeConfig(name="w", pcap_file="no.pcap")
    problem = "problem with trace file no.pcap (unable to open no.pcap: No such file or directory)"
    assert configuration.missing_input(untraced, tmp_path) == f"fatal error: {problem}"


def test_behaviour_is_read_from_variables() -> None:
    assert behaviour.read({"PATH": "/bin", "ZEEKFLEET_SIM_SILENT": ""}) == Behaviour()
    environment = {
        "ZEEKFLEET_SIM_START_DELAY": "1.5",
        "ZEEKFLEET_SIM_FAIL_AT_START": "3",
        "ZEEKFLEET_SIM_CRASH_AFTER": "0",
        "ZEEKFLEET_SIM_IGNORE_SIGTERM": "1",
        "ZEEKFLEET_SIM_SILENT": "1",
        "ZEEKFLEET_SIM_OUTPUT": "a\\nb",
        "ZEEKFLEET_SIM_ERRORS": "c",
        "ZEEKFLEET_SIM_OUTPUT_REPEAT": "2",
    }
    assert behaviour.read(environment) == Behaviour(1.5, 3, 0.0, True, True, ("a", "b"), ("c",), 2)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("START_DELAY", "nan"),
        ("START_DELAY", "-1"),
        ("CRASH_AFTER", "1e99"),
        ("FAIL_AT_START", "256"),
        ("FAIL_AT_START", "-1"),
        ("SILENT", "yes"),
        ("OUTPUT_REPEAT", "99999999999999"),
        ("NO_SUCH", "1"),
    ],
)
def test_a_bad_behaviour_names_its_variable(name: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        behaviour.read({f"ZEEKFLEET_SIM_{name}": text})
    assert caught.value.key == f"ZEEKFLEET_SIM_{name}"
