"""zeek-client reads what we write, and we read what zeek-client writes."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zeekclient import brokertypes, types
from zeekclient import events as theirs

from support.strategies import of_record, scalars
from zeekfleet.broker import topics, values
from zeekfleet.broker.generations import SECOND
from zeekfleet.broker.messages import (
    Ack,
    ErrorMessage,
    decode_data,
    decode_event,
    decode_subscriptions,
    encode_event,
    encode_message,
)
from zeekfleet.model import management
from zeekfleet.model.types import Port

decode_value = msgspec.json.Decoder(values.Value).decode

PORTS = st.builds(Port, st.integers(1, 65535))  # zeek-client has no port 0
PLAIN = st.none() | st.text().map(values.String)
SHARED = sorted(set(theirs.Registry.EVENT_TYPES) & set(SECOND.events))


def test_every_event_of_zeek_client_is_declared():
    ours_has_not = set(theirs.Registry.EVENT_TYPES) - set(SECOND.events)
    assert ours_has_not == {"Management::Controller::API::test_noop_request"}


@pytest.mark.parametrize("name", SHARED)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_events_go_both_ways(name, data):
    event = data.draw(of_record(SECOND.events[name], PLAIN, PORTS))
    message = brokertypes.unserialize(encode_event(topics.CONTROLLER, event))
    assert isinstance(message, brokertypes.DataMessage)
    assert message.topic == topics.CONTROLLER
    read = brokertypes.ZeekEvent.from_vector(message.data)
    made = theirs.Registry.make_event(read.name, *read.args)
    assert name == made.NAME
    back = brokertypes.DataMessage(topics.CONTROLLER, made.to_brokertype()).serialize()
    again, generation = decode_event(decode_data(back))
    assert generation is SECOND
    # zeek-client orders sets and tables its own way; ours is one.
    assert encode_event(topics.CONTROLLER, again) == encode_event(topics.CONTROLLER, event)


@given(of_record(management.Configuration, PLAIN, PORTS))
@settings(max_examples=50, deadline=None)
def test_configurations_go_both_ways(configuration):
    text = SECOND.codec.to_json(configuration)
    read = types.Configuration.from_brokertype(brokertypes.unserialize(text))
    assert sorted(node.name for node in read.nodes) == sorted(node.name for node in configuration.nodes)
    back = SECOND.codec.from_value(decode_value(read.to_brokertype().serialize()), management.Configuration)
    assert {instance.name for instance in back.instances} == {instance.name for instance in configuration.instances}
    for ours, again in zip(sorted_nodes(configuration), sorted_nodes(back), strict=True):
        for field in ("name", "instance", "role", "p", "interface", "cpu_affinity", "env", "metrics_port"):
            assert getattr(ours, field) == getattr(again, field)
        assert tuple(ours.scripts or ()) == tuple(again.scripts or ())


def sorted_nodes(configuration):
    return sorted(configuration.nodes, key=lambda node: (node.name, node.instance, repr(node)))


@given(of_record(management.NodeStatus, PLAIN, PORTS), of_record(management.Result, PLAIN, PORTS))
@settings(max_examples=50, deadline=None)
def test_results_are_read_by_zeek_client(status, result):
    read = types.NodeStatus.from_brokertype(brokertypes.unserialize(SECOND.codec.to_json(status)))
    assert (read.node, read.state.name, read.pid) == (status.node, status.state.name, status.pid)
    read = types.Result.from_brokertype(brokertypes.unserialize(SECOND.codec.to_json(result)))
    assert (read.reqid, read.success, read.error, read.node) == (
        result.reqid,
        result.success,
        result.error,
        result.node,
    )


@given(scalars)
@settings(max_examples=300, deadline=None)
def test_scalars_go_both_ways(value):
    if isinstance(value, values.Port) and (value.data.startswith("0/")):
        return  # zeek-client has no port 0
    if isinstance(value, values.Timespan | values.Timestamp | values.Subnet):
        return  # zeek-client normalises their text: see the examples below
    read = brokertypes.unserialize(values.to_json(value))
    assert decode_value(read.serialize()) == value


@pytest.mark.parametrize(
    "value",
    [
        values.Timespan("1500ms"),
        values.Timespan("10s"),
        values.Timestamp("2022-04-10T07:00:00.000"),
        values.Subnet("10.0.0.0/8"),
        values.Subnet("2001:db8::/32"),
    ],
)
def test_times_and_subnets_are_read_by_zeek_client(value):
    read = brokertypes.unserialize(values.to_json(value))
    assert decode_value(read.serialize()) == value


def test_handshake_messages():
    sent = brokertypes.HandshakeMessage([topics.CONTROLLER]).serialize()
    assert decode_subscriptions(sent) == (topics.CONTROLLER,)
    ack = brokertypes.HandshakeAckMessage.unserialize(encode_message(Ack("id", "0.1.0")))
    assert (ack.endpoint, ack.version) == ("id", "0.1.0")
    error = brokertypes.ErrorMessage.unserialize(encode_message(ErrorMessage("deserialization_failed", "text")))
    assert (error.code, error.context) == ("deserialization_failed", "text")
