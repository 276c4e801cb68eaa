"""What every endpoint does, whatever its connections are made of."""

from __future__ import annotations

import asyncio

import pytest

from support.recorder import Recorder
from zeekfleet.broker import topics
from zeekfleet.broker.events import agent, node
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.generations import FIRST, SECOND
from zeekfleet.errors import RequestTimeoutError, TransportError
from zeekfleet.model.management import Instance, Result
from zeekfleet.model.types import Address, Port
from zeekfleet.security.permissions import Actor, Role
from zeekfleet.transport.bus import BusEvent, Delivery, PeerAdded, PeerLost
from zeekfleet.transport.connections import ListenerPolicy
from zeekfleet.transport.settings import TransportSettings

HOST = "127.0.0.1"
A1 = topics.agent("a1")


def log(number: int | str) -> Event:
    return agent.NotifyLog("a1", f"step {number}")


def answering(endpoint) -> Recorder:
    def react(received: BusEvent) -> None:
        if isinstance(received, Delivery) and isinstance(received.event, agent.GetNodesRequest):
            reqid = received.event.reqid
            endpoint.reply(received, agent.GetNodesResponse(reqid, Result(reqid)))

    return Recorder(endpoint, react)


async def test_prefix_subscriptions_decide_what_is_heard(make):
    async with make("hub") as hub, make("a1") as one, make("a10") as ten, make("n") as other:
        port = await hub.listen(HOST, 0)
        one.subscribe(A1)
        ten.subscribe(topics.agent("a10"))
        other.subscribe(topics.NODE)
        sees = [Recorder(endpoint) for endpoint in (hub, one, ten, other)]
        async with sees[0] as hub_sees, sees[1] as one_sees, sees[2] as ten_sees, sees[3] as other_sees:
            for endpoint in (one, ten, other):
                endpoint.dial(HOST, port)
                await hub_sees.added(start=len(hub_sees.seen))
            hub.publish(A1, log(1))
            hub.publish(topics.agent("a10"), log(2))
            hub.publish(topics.NODE, node.NotifyNodeHello("end"))
            await other_sees.event(node.NotifyNodeHello)
            await one_sees.event(log(2))  # a1 is a prefix of a10
            await ten_sees.event(log(2))
            assert [seen.event for seen in one_sees.deliveries] == [log(1), log(2)]
            assert [seen.event for seen in ten_sees.deliveries] == [log(2)]
            assert [seen.topic for seen in one_sees.deliveries] == [A1, topics.agent("a10")]
            assert [seen.event for seen in other_sees.deliveries] == [node.NotifyNodeHello("end")]


async def test_delivered_to_others_and_the_local_process_but_never_back(make):
    async with make("hub") as hub, make("one") as one, make("two") as two:
        hub.subscribe(topics.AGENT_PREFIX)
        one.subscribe(topics.AGENT_PREFIX)
        two.subscribe(topics.AGENT_PREFIX)
        port = await hub.listen(HOST, 0)
        async with Recorder(hub) as hub_sees, Recorder(one) as one_sees, Recorder(two) as two_sees:
            one.dial(HOST, port)
            await one_sees.added()
            two.dial(HOST, port)
            await two_sees.added()
            one.publish(A1, log("by one"))
            assert (await hub_sees.event(log("by one"))).peer.name == "one"
            await two_sees.event(log("by one"))
            two.publish(A1, log("by two"))
            await one_sees.event(log("by two"))
            hub.publish(A1, log("by hub"))
            await one_sees.event(log("by hub"))
            await two_sees.event(log("by hub"))
            assert [seen.event for seen in one_sees.deliveries] == [log("by two"), log("by hub")]
            assert [seen.event for seen in two_sees.deliveries] == [log("by one"), log("by hub")]
            assert [seen.event for seen in hub_sees.deliveries] == [log("by one"), log("by two")]


async def test_events_keep_their_order(make):
    async with make() as hub, make() as leaf:
        hub.subscribe(A1)
        port = await hub.listen(HOST, 0)
        async with Recorder(hub) as hub_sees, Recorder(leaf) as leaf_sees:
            leaf.dial(HOST, port)
            await leaf_sees.added()
            for number in range(500):
                leaf.publish(A1, log(number))
            await hub_sees.event(log(499))
            assert [seen.event for seen in hub_sees.deliveries] == [log(number) for number in range(500)]


@pytest.mark.parametrize("asking_side", ["dialled", "listening"])
async def test_request_and_response_from_either_side(make, asking_side):
    async with make("hub") as hub, make("leaf") as leaf:
        hub.subscribe(A1)
        leaf.subscribe(A1)
        port = await hub.listen(HOST, 0)
        asks, answers = (leaf, hub) if asking_side == "dialled" else (hub, leaf)
        async with Recorder(asks) as asks_sees, answering(answers):
            leaf.dial(HOST, port)
            await asks_sees.added()
            responses = await asyncio.gather(
                *(asks.request(A1, agent.GetNodesRequest(str(number)), 20) for number in range(50))
            )
            assert [response.reqid for response in responses] == [str(number) for number in range(50)]
            assert asks_sees.deliveries == []
            assert asks.metrics.pending_requests == 0


async def test_first_generation_request_gets_a_first_generation_answer(make):
    async with make() as hub, make() as leaf:
        hub.subscribe(A1)
        leaf.subscribe(A1)
        port = await hub.listen(HOST, 0)
        async with answering(hub) as hub_sees, Recorder(leaf) as leaf_sees:
            leaf.dial(HOST, port)
            await leaf_sees.added()
            response = await leaf.request(A1, agent.GetNodesRequest("old"), 20, FIRST)
            assert response == agent.GetNodesResponse("old", Result("old"))
            delivery = await hub_sees.event(agent.GetNodesRequest)
            assert (delivery.topic, delivery.generation) == (A1, FIRST)
            leaf.publish(A1, log("new"), SECOND)
            assert (await hub_sees.event(log("new"))).generation is SECOND


async def test_unanswered_request_times_out_and_leaves_nothing(make):
    async with make() as hub, make() as leaf:
        hub.subscribe(A1)
        leaf.subscribe(A1)
        port = await hub.listen(HOST, 0)
        async with Recorder(hub) as hub_sees, Recorder(leaf) as leaf_sees:
            leaf.dial(HOST, port)
            await leaf_sees.added()
            with pytest.raises(RequestTimeoutError) as caught:
                await leaf.request(A1, agent.GetNodesRequest("late"), 0.05)
            assert (caught.value.reqid, caught.value.timeout) == ("late", 0.05)
            assert leaf.metrics.pending_requests == 0
            assert leaf.metrics.requests_timed_out == 1
            delivery = await hub_sees.event(agent.GetNodesRequest)
            hub.reply(delivery, agent.GetNodesResponse("late", Result("late")))
            await leaf_sees.event(agent.GetNodesResponse)  # too late for the request: an event like any other


async def test_same_request_id_twice_is_refused_and_cancelled_requests_are_forgotten(make):
    async with make() as lonely:
        first = asyncio.ensure_future(lonely.request(A1, agent.GetNodesRequest("x"), 20))
        await asyncio.sleep(0)
        with pytest.raises(TransportError, match="'x'"):
            await lonely.request(A1, agent.GetNodesRequest("x"), 20)
        assert lonely.metrics.pending_requests == 1
        first.cancel()
        await asyncio.wait((first,))
        assert lonely.metrics.pending_requests == 0
        with pytest.raises(TransportError, match="no request"):
            await lonely.request(A1, log(1), 20)


async def test_closing_fails_what_is_pending_and_ends_the_events(make):
    async with make() as lonely:
        pending = asyncio.ensure_future(lonely.request(A1, agent.GetNodesRequest("x"), 20))
        await asyncio.sleep(0)
    with pytest.raises(TransportError):
        await pending
    assert [received async for received in lonely.events()] == []


async def test_peers_are_added_and_lost(make):
    async with make("hub") as hub:
        port = await hub.listen(HOST, 0)
        async with Recorder(hub) as hub_sees:
            async with make("leaf") as leaf, Recorder(leaf) as leaf_sees:
                there = Instance("hub", Address(HOST), Port(port))
                leaf.dial(HOST, port, instance=there)
                inbound, dialled = await hub_sees.added(), await leaf_sees.added()
                assert (inbound.name, inbound.host, inbound.dialled_for) == ("leaf", HOST, None)
                assert (dialled.name, dialled.host, dialled.dialled_for) == ("hub", HOST, there)
                assert hub.peers() == (inbound,)
                assert leaf.peers() == (dialled,)
            lost = await hub_sees.lost()
            assert lost.peer == inbound
            assert lost.reason
            assert hub.peers() == ()


async def test_reconnects_and_subscribes_again_when_the_listener_returns(make):
    async with make("leaf") as leaf, Recorder(leaf) as leaf_sees:
        leaf.subscribe(A1)
        async with make("hub") as hub:
            port = await hub.listen(HOST, 0)
            leaf.dial(HOST, port)
            await leaf_sees.added()
        await leaf_sees.lost()
        lost_at = len(leaf_sees.seen)
        async with make("hub-again") as hub, Recorder(hub) as hub_sees:
            assert await hub.listen(HOST, port) == port
            assert (await leaf_sees.added(start=lost_at)).name == "hub-again"
            await hub_sees.added()
            hub.publish(A1, log("after"))
            await leaf_sees.event(log("after"))


async def test_dials_until_somebody_listens(make):
    async with make() as probe:
        port = await probe.listen(HOST, 0)
    async with make() as leaf, Recorder(leaf) as leaf_sees:
        leaf.dial(HOST, port)
        async with make() as hub:
            await hub.listen(HOST, port)
            await leaf_sees.added()


async def test_a_later_subscription_makes_the_link_anew(make):
    patient = TransportSettings(backoff_first=1000.0, backoff_cap=1000.0)  # no delay where nothing failed
    async with make() as hub, make("", patient) as leaf:
        port = await hub.listen(HOST, 0)
        async with Recorder(hub) as hub_sees, Recorder(leaf) as leaf_sees:
            leaf.subscribe(topics.NODE)
            leaf.dial(HOST, port)
            await leaf_sees.added()
            leaf.subscribe(topics.NODE + "/narrower")  # adds nothing
            leaf.subscribe(A1)
            await leaf_sees.added(start=len(leaf_sees.seen))
            await hub_sees.wait_for(lambda found: isinstance(found, PeerAdded) and found.peer.id == 2)
            hub.publish(A1, log("heard"))
            await leaf_sees.event(log("heard"))
            kinds = [type(seen) for seen in leaf_sees.seen]
            assert kinds == [PeerAdded, PeerLost, PeerAdded, Delivery]


async def test_unpeer_ends_the_connection_for_good(make):
    async with make() as hub, make() as leaf:
        port = await hub.listen(HOST, 0)
        async with Recorder(hub) as hub_sees, Recorder(leaf) as leaf_sees:
            leaf.dial(HOST, port)
            await hub_sees.added()
            await leaf_sees.added()
            leaf.hang_up(HOST, port)
            leaf.hang_up(HOST, port)
            leaf.hang_up("192.0.2.1", 1)
            assert (await leaf_sees.lost()).reason == "unpeered"
            await hub_sees.lost()
            assert leaf.peers() == hub.peers() == ()
            attempts = leaf.metrics.connection_attempts
            leaf.dial(HOST, port)
            await leaf_sees.added(start=len(leaf_sees.seen))
            assert leaf.metrics.connection_attempts == attempts + 1


async def test_peer_publishes_only_what_it_was_narrowed_to(make):
    async with make() as hub, make() as leaf:
        hub.subscribe("")
        port = await hub.listen(HOST, 0)
        async with Recorder(hub) as hub_sees, Recorder(leaf) as leaf_sees:
            leaf.dial(HOST, port, publish=(A1,))
            await leaf_sees.added()
            leaf.publish(topics.NODE, node.NotifyNodeHello("not for you"))
            leaf.publish(A1, log("second"))
            leaf.publish(A1, log("first"), FIRST)
            await hub_sees.event(log("first"))
            assert [seen.event for seen in hub_sees.deliveries] == [log("second"), log("first")]


async def test_policy_limits_what_peers_may_publish_and_hear(make):
    async with make("hub") as hub, make("leaf") as leaf, make("other") as other:
        hub.subscribe("")
        leaf.subscribe("zeek/")
        policy = ListenerPolicy(actors=(Actor(Role.AGENT, "a1"),))
        port = await hub.listen(HOST, 0, policy=policy)
        open_port = await hub.listen(HOST, 0)
        async with Recorder(hub) as hub_sees, Recorder(leaf) as leaf_sees, Recorder(other) as other_sees:
            leaf.dial(HOST, port)
            other.dial(HOST, open_port)
            await leaf_sees.added()
            await other_sees.added()
            leaf.publish(topics.CONTROLLER, log("forbidden"))
            leaf.publish(A1, log("allowed"))
            leaf.publish(A1, log("allowed too"), FIRST)
            await hub_sees.event(log("allowed too"))
            assert [seen.event for seen in hub_sees.deliveries] == [log("allowed"), log("allowed too")]
            assert hub.metrics.forbidden == 1
            asked = agent.GetNodesRequest("x")
            other.publish(topics.CONTROLLER, log("secret"))
            other.publish(topics.agent("a10"), asked)
            other.publish(A1, log("of another"))
            other.publish(A1, asked)
            await leaf_sees.event(asked)
            assert [(seen.topic, seen.event) for seen in leaf_sees.deliveries] == [(A1, asked)]
            assert leaf.metrics.errors_received == 1
            assert not [seen for seen in leaf_sees.seen if isinstance(seen, PeerLost)]


async def test_a_subscription_hears_both_generations(make):
    async with make() as hub, make() as leaf, make() as narrow:
        leaf.subscribe(topics.AGENT_PREFIX)
        narrow.subscribe("zeek/cluster-control/agent/a1")
        port = await hub.listen(HOST, 0)
        async with Recorder(hub) as hub_sees, Recorder(leaf) as leaf_sees, Recorder(narrow) as narrow_sees:
            leaf.dial(HOST, port)
            await hub_sees.added()
            narrow.dial(HOST, port)
            await hub_sees.added(start=len(hub_sees.seen))
            for sees in (leaf_sees, narrow_sees):
                await sees.added()
            hub.publish(A1, log("old"), FIRST)
            hub.publish(A1, log("new"), SECOND)
            for sees in (leaf_sees, narrow_sees):
                await sees.event(log("new"))
                assert [(seen.topic, seen.generation) for seen in sees.deliveries] == [(A1, FIRST), (A1, SECOND)]


async def test_one_of_two_who_hear_a_topic_can_be_asked_and_alone_may_answer(make):
    async with make("hub") as hub, make("one") as one, make("two") as two:
        port = await hub.listen(HOST, 0)
        for endpoint in (hub, one, two):
            endpoint.subscribe(A1)
        async with Recorder(hub) as hub_sees, Recorder(one) as one_sees, Recorder(two) as two_sees:
            one.dial(HOST, port)
            first = await hub_sees.added()
            two.dial(HOST, port)
            await two_sees.added()
            request = agent.GetNodesRequest("x")
            answer = asyncio.create_task(hub.request(A1, request, 20, to=first))
            await one_sees.event(request)
            # What another says in its place does not count, and is heard like anything else.
            false = agent.GetNodesResponse("x", Result("x", error="not mine"))
            two.publish(A1, false)
            await hub_sees.event(false)
            true = agent.GetNodesResponse("x", Result("x"))
            one.publish(A1, true)
            assert await answer == true
            hub.publish(A1, agent.NotifyLog("a1", "to all"))
            await two_sees.event(agent.NotifyLog("a1", "to all"))
            assert request not in [seen.event for seen in two_sees.deliveries]
