"""The protocol of a connection, both sides, without a connection."""

from __future__ import annotations

import json

import pytest

from zeekfleet.broker import topics
from zeekfleet.broker.client_frames import PATH
from zeekfleet.broker.events import agent
from zeekfleet.broker.generations import SECOND
from zeekfleet.broker.messages import UnknownEvent, encode_event
from zeekfleet.broker.session import (
    ClientSession,
    Close,
    Deliver,
    Problem,
    Ready,
    Send,
    ServerSession,
    check_request,
)

EVENT = agent.NotifyLog("a1", "hello")
FRAME = encode_event(topics.agent("a1"), EVENT)
DELIVERY = Deliver(topics.agent("a1"), EVENT, SECOND, FRAME)
ACK = b'{"type":"ack","endpoint":"e","version":"v"}'


def subscribed(**options) -> ServerSession:
    session = ServerSession("id", "0.1.0", **options)
    session.receive(b"[]")
    return session


def test_server_acknowledges_and_delivers():
    session = ServerSession("id", "0.1.0")
    assert not session.ready
    ack, ready = session.receive(b'["zeek/management","zeek/supervisor"]')
    assert isinstance(ack, Send)
    assert json.loads(ack.frame) == {"type": "ack", "endpoint": "id", "version": "0.1.0"}
    assert ready == Ready(subscriptions=("zeek/management", "zeek/supervisor"))
    assert session.receive(FRAME) == (DELIVERY,)


@pytest.mark.parametrize("bad", [b"", b"{}", b"[1]", b'"x"', FRAME, None])
def test_server_refuses_a_bad_first_frame_and_takes_a_good_one_later(bad):
    session = ServerSession("id", "v")
    (problem,) = session.receive(bad)
    assert isinstance(problem, Problem)
    assert json.loads(problem.reply) == {
        "type": "error",
        "code": "deserialization_failed",
        "context": problem.context,
    }
    assert not session.ready
    assert isinstance(session.receive(b"[]")[0], Send)


def test_server_limits_subscriptions():
    session = ServerSession("id", "v", subscriptions_max=2)
    (problem,) = session.receive(b'["a","b","c"]')
    assert "3 subscriptions" in problem.context
    assert len(session.receive(b'["a","b"]')) == 2


def test_server_delivers_events_it_does_not_know():
    unknown = FRAME.replace(EVENT.event_name.encode(), b"Other::event")
    (delivery,) = subscribed().receive(unknown)
    assert isinstance(delivery.event, UnknownEvent)
    assert delivery.event.name == "Other::event"
    assert delivery.frame == unknown


def test_an_errors_context_is_bounded():
    (problem,) = subscribed().receive(FRAME.replace(b'"hello"', b"1"))
    assert "expected string" in problem.context or "invalid value" in problem.context
    long = b'{"@data-type":"enum-value","data":"' + b"x" * 100_000 + b'"}'
    (problem,) = subscribed().receive(FRAME.replace(b'{"@data-type":"string","data":"hello"}', long))
    assert len(problem.context) <= 1000
    assert len(problem.reply) < 2000


def test_client_waits_for_the_ack_and_keeps_what_came_before():
    session = ClientSession(("zeek/a", "zeek/b"))
    assert json.loads(session.opening()) == ["zeek/a", "zeek/b"]
    assert session.receive(FRAME) == ()
    assert not session.ready
    assert session.receive(ACK) == (Ready(endpoint="e"), DELIVERY)
    assert session.ready
    assert session.receive(FRAME) == (DELIVERY,)
    assert session.receive(ACK) == ()


def test_client_keeps_a_limited_number_of_early_frames():
    session = ClientSession(())
    outputs = [output for _ in range(1001) for output in session.receive(FRAME)]
    assert [type(output) for output in outputs] == [Close]


def test_client_gives_up_when_refused_and_reports_errors_later():
    error = b'{"type":"error","code":"topic_forbidden","context":"no"}'
    problem, close = ClientSession(()).receive(error)
    assert problem == Problem("topic_forbidden", "no", received=True)
    assert isinstance(close, Close)
    ready = ClientSession(())
    ready.receive(ACK)
    assert ready.receive(error) == (problem,)


@pytest.mark.parametrize("bad", [b"nonsense", None, b'{"type":"data-message"}', b"[]"])
def test_client_never_answers_with_an_error(bad):
    session = ClientSession(())
    session.receive(ACK)
    (problem,) = session.receive(bad)
    assert problem.reply is None


def test_client_repairs_and_forwards_what_it_read():
    session = ClientSession(())
    session.receive(ACK)
    (delivery,) = session.receive(FRAME.replace(b"hello", b"a\x02\\v\xff"))
    assert delivery.event == agent.NotifyLog("a1", "a\x02\v\ufffd")
    json.loads(delivery.frame)


def test_requests_are_checked():
    assert check_request(PATH, None) is None
    assert check_request(PATH, "zeek-client/1.5.0") is None
    assert check_request("/v1/messages/json/", None).code == "invalid_uri"
    for name in ("", "a b", "ü", "a\n"):
        problem = check_request(PATH, name)
        assert problem.code == "invalid_application_name"
        assert json.loads(problem.reply)["code"] == "invalid_application_name"
