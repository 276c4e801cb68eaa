"""The pure parts of the simulated node: identifiers, options, dispatch, behaviour."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from zeekfleet.broker import messages, topics
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.dispatches import NodePeers
from zeekfleet.broker.events.node import HelloRequest, NodeDispatchRequest, NodeDispatchResponse, NotifyNodeHello
from zeekfleet.errors import ConfigurationError, SettingsError
from zeekfleet.model import dispatches
from zeekfleet.model.dispatches import MissingPeers, NetworkStatistics, OptionChange, Peer, PeerStatistics
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.management import Result
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import NO_PORT, Address, Port
from zeekfleet.node.simulator import behaviour, configuration, events, options, zeek_json
from zeekfleet.node.simulator.configuration import Configuration, Row
from zeekfleet.node.simulator.dispatch import answer
from zeekfleet.node.simulator.files import cluster_nodes, files
from zeekfleet.node.simulator.identifiers import identifiers

HERE = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(configuration.__file__).parents[3])}
LOOPBACK = Address("127.0.0.1")
CLUSTER = {
    "manager": ClusterEndpoint(ClusterRole.MANAGER, LOOPBACK, Port(2200), metrics_port=Port(9001)),
    "logger": ClusterEndpoint(ClusterRole.LOGGER, LOOPBACK, Port(2201)),
    "w1": ClusterEndpoint(ClusterRole.WORKER, LOOPBACK, NO_PORT, interface="eth0"),
}
CONFIG = NodeConfig(name="w1", cluster=CLUSTER, env={"A": "B"}, bare_mode=True, cpu_affinity=3)


def loaded(config: NodeConfig, directory: Path) -> Configuration:
    """What the node makes of its file."""
    for name, content in files(config).items():
        (directory / name).write_text(content)
    return configuration.load({configuration.CONFIG_VARIABLE: configuration.CONFIG_FILE}, str(directory))


def event_in(frame: bytes) -> Event:
    message = messages.decode_message(frame)
    assert isinstance(message, messages.DataMessage)
    return messages.decode_event(message)[0]


# --- the simulated node's own reading and writing of events, compared with the codec


def test_imports_only_what_a_node_needs_to_start() -> None:
    program = "import sys; import zeekfleet.node.simulator.process; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-S", "-c", program], env=HERE, capture_output=True, text=True, check=True)
    heavy = {"asyncio", "msgspec", "logging", "typing", "pathlib", "hashlib", "datetime", "argparse", "subprocess"}
    assert not heavy & set(done.stdout.split())


@pytest.mark.parametrize(
    ("frame", "event"),
    [
        (events.encode(events.HELLO, 'w"\x01\u00fc'), NotifyNodeHello('w"\x01\u00fc')),
        (events.encode(events.MISSING_PEERS, "w", ("a", "b")), NodePeers("w", ("a", "b"))),
        (
            events.encode(events.DISPATCH_RESPONSE, "r", ("r", False, None, None, "no", "w")),
            NodeDispatchResponse("r", Result("r", success=False, error="no", node="w")),
        ),
        (
            events.encode(events.DISPATCH_RESPONSE, "r", ("r", True, None, "96", None, "w")),
            NodeDispatchResponse("r", Result("r", success=True, data="96", node="w")),
        ),
    ],
)
def test_events_are_written_as_the_codec_writes_them(frame: bytes, event: Event) -> None:
    assert frame == messages.encode_event(topics.NODE, event)


@pytest.mark.parametrize(
    ("event", "read"),
    [
        (HelloRequest(), (events.HELLO_REQUEST, [])),
        (
            NodeDispatchRequest("r", ("get_id_value", "x"), frozenset({"w"})),
            (events.DISPATCH_REQUEST, ["r", ["get_id_value", "x"], ["w"]]),
        ),
    ],
)
def test_events_are_read_as_the_codec_writes_them(event: Event, read: tuple[str, list[object]]) -> None:
    assert events.decode(json.loads(messages.encode_event(topics.NODE, event))) == read
    assert json.loads(events.SUBSCRIPTION) == [topics.NODE]


@pytest.mark.parametrize(
    "data", ["[]", "{}", "1", "[1,2,3]", '[{"@data-type":"table","data":[{"key":1}]}]', '[{"@data-type":"x"}]']
)
def test_invalid_events_are_refused(data: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        events.decode(json.loads(f'{{"@data-type":"vector","data":{data}}}'))


@pytest.mark.parametrize(
    ("action", "data"),
    [
        ((dispatches.NET_STATS,), NetworkStatistics(0, 0, 0, 0)),
        (
            (dispatches.PEER_STATS,),
            PeerStatistics((Peer("logger", "simulated-logger", 0.0), Peer("manager", "simulated-manager", 0.0)), 0, 0),
        ),
        ((dispatches.MISSING_PEERS,), MissingPeers(())),
        ((dispatches.SET_OPTION, "My::x", "2"), OptionChange("My::x", "1", "2")),
    ],
)
def test_answers_are_the_records_of_the_protocol(action: tuple[str, ...], data: object, tmp_path: Path) -> None:
    config = loaded(msgspec.structs.replace(CONFIG, addl_user_scripts=("My::x=1",)), tmp_path)
    table = identifiers(config, str(tmp_path / configuration.CLUSTER_FILE))
    found, error = answer(list(action), "w1", table)
    assert error is None
    frame = events.encode(events.DISPATCH_RESPONSE, "r", ("r", True, None, found, None, "w1"))
    expected = NodeDispatchResponse("r", Result("r", success=True, data=data, node="w1"))
    assert frame == messages.encode_event(topics.NODE, expected)


def test_the_file_has_the_fields_of_a_node_config() -> None:
    assert NodeConfig.__struct_fields__ == configuration.FIELDS


# --- dispatches


def dispatch(*action: str) -> tuple[object, str | None]:
    return answer(list(action), "w1", identifiers(Configuration("w1")))


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
    assert dispatch(*action) == (None, error)


def test_a_value_comes_as_json_text() -> None:
    assert dispatch("get_id_value", "bits_per_uid") == ("96", None)


# --- identifiers


def test_cluster_nodes_look_as_zeek_writes_them() -> None:
    # Taken from Zeek 9.0.0-rc1 with the same layout, keys sorted.
    expected = (
        '{"logger":{"node_type":"Cluster::LOGGER","ip":"127.0.0.1","zone_id":"","p":{"port":2201,"proto":"tcp"},'
        '"manager":"manager"},"manager":{"node_type":"Cluster::MANAGER","ip":"127.0.0.1","zone_id":"",'
        '"p":{"port":2200,"proto":"tcp"},"metrics_port":{"port":9001,"proto":"tcp"}},'
        '"w1":{"node_type":"Cluster::WORKER","ip":"127.0.0.1","zone_id":"","p":{"port":0,"proto":"unknown"},'
        '"manager":"manager"}}'
    )
    assert cluster_nodes(NodeConfig(name="w1", cluster=CLUSTER)) == expected


ROWS = {"manager": Row("MANAGER", 9001), "logger": Row("LOGGER"), "w1": Row("WORKER")}


def test_identifiers_follow_the_configuration() -> None:
    worker = identifiers(Configuration("w1", cluster=ROWS, interface="eth0"))
    manager = identifiers(Configuration("manager", cluster=ROWS))
    alone = identifiers(Configuration("alone"))
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
    assert "Site::local_nets" not in identifiers(Configuration("bare", bare_mode=True))


def test_all_values_are_json() -> None:
    for name, (_, text) in identifiers(Configuration('w"1\\', cluster=ROWS)).items():
        if isinstance(text, str):
            json.loads(text)
        else:
            assert name == "Zeekfleet::without_value"


def test_options_among_scripts_apply_in_zeeks_order() -> None:
    first = ("Notice::mail_dest=first", "My::count=1")
    then = ("some/script", "Notice::mail_dest=a = b", "Site::local_nets={10.0.0.0/8, fd00::/8}")
    table = identifiers(Configuration("w1", scripts=(*first, *then)))
    assert table["Notice::mail_dest"] == ("string", '"a = b"')
    assert table["My::count"] == ("count", "1")
    assert table["Site::local_nets"] == ("set", '["10.0.0.0/8","fd00::/8"]')
    assert "some/script" not in table


@pytest.mark.parametrize("option", ["LogAscii::use_json=yes", "Log::default_rotation_interval=2", "bits_per_uid=-1"])
def test_an_option_of_the_wrong_type_is_named(option: str) -> None:
    name, _, value = option.partition("=")
    with pytest.raises(options.TypeClashError, match=rf"type clash in assignment \({name} = {value}\)"):
        identifiers(Configuration("w1", scripts=(option,)))


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
def test_the_type_of_an_unknown_option_is_guessed_from_its_text(text: str, kind: str, rendered: str) -> None:
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
    scripts = {"addl_base_scripts": ("a",), "addl_user_scripts": ("b", "c")}
    config = loaded(msgspec.structs.replace(CONFIG, pcap_file="t.pcap", **scripts), tmp_path)
    assert (config.name, config.interface, config.pcap_file, config.bare_mode) == ("w1", None, "t.pcap", True)
    assert config.scripts == ("a", "b", "c")
    assert {name: (row.role, row.metrics_port) for name, row in config.cluster.items()} == {
        "w1": ("WORKER", None),
        "logger": ("LOGGER", None),
    }
    manager = loaded(NodeConfig(name="manager", cluster=CLUSTER), tmp_path)
    assert manager.own is not None
    assert manager.own.metrics_port == 9001
    assert not manager.bare_mode
    path = tmp_path / configuration.CLUSTER_FILE
    found = identifiers(manager, str(path))["Cluster::nodes"][1]
    assert callable(found)
    assert found() == cluster_nodes(CONFIG)
    path.unlink()
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
        configuration.load({configuration.CONFIG_VARIABLE: str(path)}, str(tmp_path))
    assert str(path) in str(caught.value)


def test_a_name_is_enough_for_a_configuration(tmp_path: Path) -> None:
    assert configuration.load({"CLUSTER_NODE": "w"}, str(tmp_path)).name == "w"
    with pytest.raises(ConfigurationError, match="CLUSTER_NODE"):
        configuration.load({}, str(tmp_path))


def test_missing_input_is_reported_in_zeeks_words(tmp_path: Path) -> None:
    script = tmp_path / "there.zeek"
    script.touch()
    (tmp_path / "trace.pcap").touch()
    there = (str(script), str(script.with_suffix("")), "/no/such=option", "not/looked/for")
    directory = str(tmp_path)
    assert configuration.missing_input(there, "trace.pcap", directory) is None
    assert configuration.missing_input(["/no/such"], None, directory) == "fatal error: can't find /no/such"
    problem = "problem with trace file no.pcap (unable to open no.pcap: No such file or directory)"
    assert configuration.missing_input((), "no.pcap", directory) == f"fatal error: {problem}"


def test_behaviour_is_read_from_variables() -> None:
    usual = vars(behaviour.read({}))
    assert vars(behaviour.read({"PATH": "/bin", "ZEEKFLEET_SIM_SILENT": ""})) == usual
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
    assert vars(behaviour.read(environment)) == usual | {
        "start_delay": 1.5,
        "fail_at_start": 3,
        "crash_after": 0.0,
        "ignore_sigterm": True,
        "silent": True,
        "output": ("a", "b"),
        "errors": ("c",),
        "output_repeat": 2,
    }


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
