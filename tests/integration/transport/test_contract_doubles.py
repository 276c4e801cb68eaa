"""Two endpoints that dial each other, listeners whose peers do not hear each other, and who may answer."""

from __future__ import annotations

import asyncio

import pytest

from support.raw_peer import RawPeer
from support.recorder import Recorder
from zeekfleet.broker import topics
from zeekfleet.broker.events import agent, controller, node
from zeekfleet.errors import RequestTimeoutError
from zeekfleet.model.management import Result
from zeekfleet.security.permissions import Actor, Role
from zeekfleet.transport.bus import PeerLost
from zeekfleet.transport.connections import ListenerPolicy
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.websocket import WebSocketBus

HOST = "127.0.0.1"
A1 = topics.agent("a1")


def log(number: int | str) -> agent.NotifyLog:
    return agent.NotifyLog("a1", f"step {number}")


async def test_endpoints_that_dial_each_other_use_one_of_the_two_links(make):
    """Each event arrives once, a request is answered once, nothing goes round; and one link is enough."""
    async with make("one") as one, make("two") as two:
        for endpoint in (one, two):
            endpoint.subscribe(A1)
        ports = await one.listen(HOST, 0), await two.listen(HOST, 0)
        async with Recorder(one) as one_sees, Recorder(two) as two_sees:
            one.dial(HOST, ports[1], publish=(A1,))
            await one_sees.added()
            await two_sees.added()
            two.dial(HOST, ports[0], publish=(A1,))
            await one_sees.added(start=1)
            await two_sees.added(start=1)
            assert len({peer.endpoint for peer in one.peers()}) == 1
            for number in range(20):
                one.publish(A1, log(number))
                two.publish(A1, log(-number - 1))
            await two_sees.event(log(19))
            await one_sees.event(log(-20))
            request = agent.GetNodesRequest("x")
            response = agent.GetNodesResponse("x", Result("x"))
            asked = asyncio.create_task(one.request(A1, request, 20, to=one.peers()[0]))
            await two_sees.event(request)
            two.publish(A1, response)  # it may come by the other link
            assert await asked == response
            assert [seen.event for seen in one_sees.deliveries] == [log(-number - 1) for number in range(20)]
            assert [seen.event for seen in two_sees.deliveries] == [*(log(number) for number in range(20)), request]
            before = one.metrics.frames_out, two.metrics.frames_out
            assert before == (21, 21)

            one.hang_up(HOST, ports[1])
            await one_sees.lost()
            await two_sees.lost()
            one.publish(A1, log("one link"))
            two.publish(A1, log("one link"))
            await one_sees.event(log("one link"))
            await two_sees.event(log("one link"))


async def test_one_that_dials_itself_hears_nothing_twice(make, log_says):
    """A wrong port in a configuration is enough; each request of a client would be worked on twice."""
    async with make("one") as one, make("other") as other, Recorder(one) as sees, Recorder(other) as other_sees:
        one.subscribe(A1)
        port = await one.listen(HOST, 0)
        one.dial(HOST, port, publish=(A1,), label="agent")
        await log_says("that is our own address")
        other.dial(HOST, port)
        await other_sees.added()
        other.publish(A1, log("once"))
        other.publish(A1, log("last"))
        await sees.event(log("last"))
        assert [seen.event for seen in sees.deliveries] == [log("once"), log("last")]
        assert len(one.peers()) == 1


async def test_peers_do_not_hear_each_other_where_that_is_not_wanted(make):
    async with make("hub") as hub, make("inner") as inner, make("outer") as outer:
        hub.subscribe("")
        for endpoint in (inner, outer):
            endpoint.subscribe("zeek/")
        both = ListenerPolicy(actors=(Actor(Role.ADMIN), Actor(Role.AGENT)))
        apart = await hub.listen(HOST, 0, policy=both)
        open_port = await hub.listen(HOST, 0)
        async with Recorder(hub) as hub_sees, Recorder(inner) as inner_sees, Recorder(outer) as outer_sees:
            inner.dial(HOST, apart)
            outer.dial(HOST, open_port)
            await inner_sees.added()
            await outer_sees.added()
            inner.publish(A1, log("from within"))
            await outer_sees.event(log("from within"))
            outer.publish(A1, agent.GetNodesResponse("x", Result("x")))
            outer.publish(topics.CONTROLLER, controller.GetNodesRequest("y"))
            outer.publish(A1, log("for all"))
            await hub_sees.event(log("for all"))
            request = agent.GetNodesRequest("z")
            hub.publish(A1, request)
            await inner_sees.event(request)
            assert [seen.event for seen in inner_sees.deliveries] == [log("for all"), request]


async def test_peers_answer_only_where_they_may(make):
    policy = ListenerPolicy(actors=(Actor(Role.CONTROLLER), Actor(Role.NODE)))
    async with make("hub") as hub, make("leaf") as leaf:
        hub.subscribe("")
        port = await hub.listen(HOST, 0, policy=policy)
        async with Recorder(hub) as hub_sees, Recorder(leaf) as leaf_sees:
            leaf.dial(HOST, port)
            await leaf_sees.added()
            leaf.publish(A1, agent.GetNodesResponse("x", Result("x")))
            allowed = node.NodeDispatchResponse("y", Result("y", node="n"))
            leaf.publish(topics.NODE, allowed)
            await hub_sees.event(allowed)
            assert [seen.event for seen in hub_sees.deliveries] == [allowed]
            assert hub.metrics.forbidden == 1
            assert not [seen for seen in leaf_sees.seen if isinstance(seen, PeerLost)]


async def test_a_forged_answer_is_counted_and_does_not_count(make):
    async with make("hub") as hub, make("one") as one, make("two") as two:
        for endpoint in (hub, one, two):
            endpoint.subscribe(A1)
        port = await hub.listen(HOST, 0)
        async with Recorder(hub) as hub_sees, Recorder(one) as one_sees, Recorder(two) as two_sees:
            one.dial(HOST, port)
            first = await hub_sees.added()
            two.dial(HOST, port)
            await two_sees.added()
            asked = asyncio.create_task(hub.request(A1, agent.GetNodesRequest("x"), 1, to=first))
            await one_sees.event(agent.GetNodesRequest("x"))
            two.publish(A1, agent.GetNodesResponse("x", Result("x")))
            with pytest.raises(RequestTimeoutError):
                await asked
            assert hub.metrics.foreign_responses == 1


async def test_who_comes_back_replaces_its_own_dead_link_at_once():
    """The network swallows what was sent, and nobody is told; the same endpoint connects anew."""
    settings = TransportSettings(ping_interval=60, pong_timeout=300)
    async with WebSocketBus("hub", settings) as hub:
        hub.subscribe(A1)
        port = await hub.listen(HOST, 0)
        async with Recorder(hub) as hub_sees, RawPeer(port) as first, RawPeer(port) as second:
            for peer in (first, second):
                await peer.upgrade(X_Zeekfleet_Endpoint="the-same")
                peer.text('["zeek/management/agent"]')
                assert (await peer.message())["type"] == "ack"
                await hub_sees.added(start=len(hub_sees.seen) - 1 if hub_sees.seen else 0)
            lost = await hub_sees.lost()
            assert lost.reason == "its peer has made a new connection"
            (left,) = hub.peers()
            assert left.id != lost.peer.id
            hub.publish(A1, log("to the living"))
            assert (await second.message())["type"] == "data-message"


@pytest.mark.parametrize("claimed", ["", "a b", "x" * 200])
async def test_an_endpoint_id_that_is_none_is_no_identity(claimed):
    async with WebSocketBus("hub") as hub:
        port = await hub.listen(HOST, 0)
        async with RawPeer(port) as first, RawPeer(port) as second:
            for peer in (first, second):
                await peer.upgrade(X_Zeekfleet_Endpoint=claimed)
                peer.text("[]")
                await peer.message()
            assert [peer.endpoint for peer in hub.peers()] == ["", ""]
