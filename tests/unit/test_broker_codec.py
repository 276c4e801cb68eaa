"""Values and records, example by example (docs/protocol.md, section 1)."""

from __future__ import annotations

import json

import msgspec
import pytest

from zeekfleet.broker import topics, values
from zeekfleet.broker.events import agent, controller
from zeekfleet.broker.generations import FIRST, SECOND, canonical_topic, find_event
from zeekfleet.broker.messages import decode_data, decode_event, encode_event
from zeekfleet.broker.readers import read_any
from zeekfleet.broker.values import Count, Integer, NoneValue, String, Vector, guarded, to_json
from zeekfleet.errors import FrameError, ValueMismatchError
from zeekfleet.model.enums import ClusterRole, Role, State
from zeekfleet.model.management import Configuration, Instance, Node, NodeStatus, Result
from zeekfleet.model.types import Address, Port

decode_value = msgspec.json.Decoder(values.Value).decode


@pytest.mark.parametrize(
    "text",
    [
        '{"@data-type":"none"}',
        '{"@data-type":"none","data":{}}',
        '{"@data-type":"none","data":null}',
        '{"@data-type":"none","data":[1,{"a":2}]}',
        '{"data":"x","@data-type":"none"}',
    ],
)
def test_none_is_read_in_all_forms_and_written_in_one(text):
    assert decode_value(text) == NoneValue()
    assert to_json(decode_value(text)) == b'{"@data-type":"none","data":{}}'


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ('{"@data-type":"count","data":18446744073709551615}', Count(2**64 - 1)),
        ('{"@data-type":"integer","data":-9223372036854775808}', Integer(-(2**63))),
        ('{"data":0,"@data-type":"count"}', Count(0)),
    ],
)
def test_whole_numbers_are_exact(text, number):
    assert decode_value(text) == number
    assert decode_value(to_json(number)) == number


@pytest.mark.parametrize(
    "text",
    [
        '{"@data-type":"count","data":18446744073709551616}',
        '{"@data-type":"count","data":-1}',
        '{"@data-type":"count","data":1.5}',
        '{"@data-type":"count","data":"1"}',
        '{"@data-type":"integer","data":9223372036854775808}',
        '{"@data-type":"real","data":NaN}',
        '{"@data-type":"real","data":1e999}',
        '{"@data-type":"boolean","data":1}',
        '{"@data-type":"address","data":"10.0.0"}',
        '{"@data-type":"subnet","data":"10.0.0.0/33"}',
        '{"@data-type":"port","data":"80"}',
        '{"@data-type":"port","data":"65536/tcp"}',
        '{"@data-type":"port","data":"80/sctp"}',
        '{"@data-type":"timespan","data":"1 fortnight"}',
        '{"@data-type":"timespan","data":"-2.5"}',
        '{"@data-type":"timestamp","data":"yesterday"}',
        '{"@data-type":"table","data":[{"key":{"@data-type":"count","data":1}}]}',
        '{"@data-type":"novel","data":1}',
        '{"data":1}',
        "1",
        "",
    ],
)
def test_invalid_values(text):
    with pytest.raises(FrameError):
        guarded(decode_value, text)


def test_a_record_on_the_wire():
    node = Node("w", "i", ClusterRole.WORKER, State.RUNNING, p=Port(5000), env={"B": "2", "A": "1"})
    assert json.loads(SECOND.codec.to_json(node)) == {
        "@data-type": "vector",
        "data": [
            {"@data-type": "string", "data": "w"},
            {"@data-type": "string", "data": "i"},
            {"@data-type": "enum-value", "data": "Supervisor::WORKER"},
            {"@data-type": "enum-value", "data": "Management::RUNNING"},
            {"@data-type": "port", "data": "5000/tcp"},
            *[{"@data-type": "none", "data": {}}] * 4,
            {
                "@data-type": "table",
                "data": [
                    {"key": {"@data-type": "string", "data": name}, "value": {"@data-type": "string", "data": value}}
                    for name, value in (("A", "1"), ("B", "2"))
                ],
            },
            {"@data-type": "none", "data": {}},
        ],
    }


def test_first_generation_layout():
    result = Result("r", success=False, error="e")
    fields = json.loads(FIRST.codec.to_json(result))["data"]
    assert [field["data"] for field in fields] == ["r", "", False, {}, "e", {}]
    assert FIRST.codec.from_value(decode_value(FIRST.codec.to_json(result)), Result) == result
    status = NodeStatus("n", State.FAILED, Role.NONE, metrics_port=Port(9000))
    fields = json.loads(FIRST.codec.to_json(status))["data"]
    assert len(fields) == 6
    assert fields[1]["data"] == "ClusterController::Types::FAILED"
    assert FIRST.codec.from_value(decode_value(FIRST.codec.to_json(status)), NodeStatus) == NodeStatus(
        "n", State.FAILED
    )


def test_missing_trailing_arguments_take_their_defaults():
    frame = encode_event(topics.CONTROLLER, controller.RestartRequest("r"))
    document = json.loads(frame)
    arguments = document["data"][2]["data"][1]["data"]
    assert len(arguments) == 2
    del arguments[1]
    assert decode_event(decode_data(json.dumps(document)))[0] == controller.RestartRequest("r", frozenset())
    del arguments[0]
    with pytest.raises(ValueMismatchError, match="at least 1"):
        decode_event(decode_data(json.dumps(document)))


def test_a_value_of_any_type_may_come_wrapped():
    """As a Zeek of version 7.2 forwards it; other values that only look similar stay as they are."""
    plain = String("96")
    wrapped = Vector([Vector([String("zeek::Broker::detail::DataVal"), plain])])
    twice = Vector([Vector([String("zeek::Broker::detail::DataVal"), wrapped])])
    for data in (plain, wrapped, twice):
        result = Vector([String("r"), values.Boolean(True), NoneValue(), data])
        assert SECOND.codec.from_value(result, Result).data == plain
    for similar in (Vector([]), Vector([plain]), Vector([Vector([plain, plain])]), wrapped.data[0]):
        assert read_any(similar) == similar


def test_surplus_arguments_and_metadata_are_ignored():
    document = json.loads(encode_event(topics.CONTROLLER, controller.DeployRequest("r")))
    event = document["data"][2]["data"]
    event[1]["data"].append({"@data-type": "count", "data": 1})
    pair = {"@data-type": "vector", "data": [{"@data-type": "count", "data": 1}, {"@data-type": "none"}]}
    event.append({"@data-type": "vector", "data": [pair]})
    assert decode_event(decode_data(json.dumps(document)))[0] == controller.DeployRequest("r")


def test_a_mismatch_names_its_place():
    configuration = Configuration("id", (Instance("i", Address("::1")),), ())
    document = json.loads(encode_event(topics.CONTROLLER, controller.StageConfigurationRequest("r", configuration)))
    document["data"][2]["data"][1]["data"][1]["data"][1]["data"][0]["data"][1] = {"@data-type": "count", "data": 1}
    with pytest.raises(ValueMismatchError) as caught:
        decode_event(decode_data(json.dumps(document)))
    assert caught.value.path == (controller.StageConfigurationRequest.event_name, "config", "instances", "0", "host")
    assert "expected address, got count" in str(caught.value)


def test_a_table_has_distinct_keys():
    twice = values.Entry(String("k"), String("v"))
    node = decode_value(SECOND.codec.to_json(Node("n", "i", ClusterRole.PROXY, State.RUNNING)))
    fields = [*node.data[:9], values.Table([twice, twice])]
    with pytest.raises(ValueMismatchError, match="same key"):
        SECOND.codec.from_value(Vector(fields), Node)


def test_values_that_cannot_be_written():
    for api_version in (-1, 2**64, "one"):
        with pytest.raises(ValueMismatchError):
            encode_event(topics.CONTROLLER, agent.NotifyAgentHello("i", "id", True, api_version))


def test_names_of_both_generations():
    assert find_event("ClusterAgent::API::get_nodes_request") == (FIRST, agent.GetNodesRequest)
    assert find_event("Management::Agent::API::get_nodes_request") == (SECOND, agent.GetNodesRequest)
    assert find_event("ClusterAgent::API::deploy_request") is None
    assert FIRST.topic(topics.agent("a")) == "zeek/cluster-control/agent/a"
    assert FIRST.topic(topics.NODE) == topics.NODE
    assert canonical_topic("zeek/cluster-control/controller") == topics.CONTROLLER
    assert canonical_topic("zeek/cluster-controller") == "zeek/cluster-controller"
