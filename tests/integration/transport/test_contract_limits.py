"""Where every endpoint has its limits, and how it ends."""

from __future__ import annotations

import asyncio

import pytest

from support.recorder import Recorder
from zeekfleet.broker import topics
from zeekfleet.broker.events import agent
from zeekfleet.broker.events.base import Event
from zeekfleet.errors import FrameTooLargeError, ListenError, RequestTimeoutError, TransportError, ValueMismatchError
from zeekfleet.model.management import Result
from zeekfleet.transport.bus import BusEvent, Delivery
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


async def test_a_stalled_reader_holds_the_senders_back_and_loses_nothing(make):
    settings = TransportSettings(inbox_events=8, inbox_each=8)
    async with make("hub", settings) as hub, make("leaf") as leaf, make("sink") as sink:
        hub.subscribe(A1)
        sink.subscribe(A1)
        port = await hub.listen(HOST, 0)
        async with Recorder(leaf) as leaf_sees, Recorder(sink) as sink_sees:
            for endpoint, sees in ((sink, sink_sees), (leaf, leaf_sees)):
                endpoint.dial(HOST, port)
                await sees.added()
            for number in range(200):
                leaf.publish(A1, log(number))
            await sink_sees.event(log(5))  # what was read was routed
            assert hub.metrics.waiting_events <= 8
            assert hub.metrics.frames_in < 200
            async with Recorder(hub) as hub_sees:
                await hub_sees.event(log(199))
                assert [seen.event for seen in hub_sees.deliveries] == [log(number) for number in range(200)]


async def test_a_response_behind_a_full_queue_still_arrives(make):
    settings = TransportSettings(inbox_events=8)
    async with make("hub", settings) as hub, make("leaf") as leaf:
        hub.subscribe(A1)
        leaf.subscribe(A1)
        port = await hub.listen(HOST, 0)
        async with answering(leaf) as leaf_sees:
            leaf.dial(HOST, port)
            await leaf_sees.added()
            for number in range(50):
                leaf.publish(A1, log(number))
            # Nobody reads the hub's events; its queue is full before the response comes.
            response = await hub.request(A1, agent.GetNodesRequest("x"), 20)
            assert response == agent.GetNodesResponse("x", Result("x"))


async def test_a_peer_that_does_not_read_is_cut_off(make):
    settings = TransportSettings(queue_bytes=64 * 1024, inbox_events=4, close_timeout=0.2)
    async with make("hub", settings) as hub, make("leaf", settings) as leaf:
        leaf.subscribe(A1)
        port = await hub.listen(HOST, 0)
        async with Recorder(hub) as hub_sees:
            leaf.dial(HOST, port)
            await hub_sees.added()
            large = agent.NotifyLog("a1", "x" * 60_000)
            for _ in range(2000):
                hub.publish(A1, large)
                await asyncio.sleep(0)
                if hub.metrics.slow_peers:
                    break
            assert hub.metrics.slow_peers == 1
            assert "does not read" in (await hub_sees.lost()).reason


async def test_too_many_connections_are_refused(make, log_says):
    settings = TransportSettings(connections=1, backoff_first=0.01)
    async with make("hub", settings) as hub, make("one") as one, make("two", settings) as two:
        port = await hub.listen(HOST, 0)
        async with Recorder(one) as one_sees, Recorder(hub) as hub_sees, Recorder(two) as two_sees:
            one.dial(HOST, port)
            await one_sees.added()
            two.dial(HOST, port)
            await log_says("refused a connection")
            assert hub.metrics.connections_refused
            one.hang_up(HOST, port)
            await hub_sees.lost()
            await two_sees.added()


async def test_an_address_in_use_is_named(make):
    async with make() as first, make() as second:
        port = await first.listen(HOST, 0)
        with pytest.raises(ListenError, match=f"{HOST}:{port}") as caught:
            await second.listen(HOST, port)
        assert (caught.value.host, caught.value.port) == (HOST, port)


async def test_several_listeners_and_unix_sockets_of_any_length(make, tmp_path):
    directory = tmp_path / ("d" * 200)
    directory.mkdir()
    address = f"unix:{directory / ('s' * 100)}"
    async with make("hub") as hub, make("leaf") as leaf, make("other") as other:
        assert await hub.listen(address, 0) == 0
        port = await hub.listen(HOST, 0)
        async with Recorder(leaf) as leaf_sees, Recorder(other) as other_sees:
            leaf.dial(address, 0)
            other.dial(HOST, port)
            assert (await leaf_sees.added()).place == address
            await other_sees.added()
            assert {peer.name for peer in hub.peers()} == {"leaf", "other"}


async def test_an_event_that_the_wire_cannot_carry_is_the_callers_error(make):
    async with make() as endpoint:
        with pytest.raises(ValueMismatchError):
            endpoint.publish(A1, agent.NotifyAgentHello("a1", "id", True, -1))


async def test_the_callers_error_comes_out_as_it_went_in(make):
    async with make() as hub:
        port = await hub.listen(HOST, 0)

        async def leaf_fails() -> None:
            async with make() as leaf:
                leaf.dial(HOST, port)
                await leaf.request(A1, agent.GetNodesRequest("x"), 0.01)

        with pytest.raises(RequestTimeoutError):
            await leaf_fails()


async def test_cancelling_the_user_closes_everything(make):
    async with make("hub") as hub, Recorder(hub) as hub_sees:
        port = await hub.listen(HOST, 0)

        async def use() -> None:
            async with make("leaf") as leaf:
                leaf.dial(HOST, port)
                await asyncio.Event().wait()

        user = asyncio.create_task(use())
        await hub_sees.added()
        user.cancel()
        with pytest.raises(asyncio.CancelledError):
            await user
        await hub_sees.lost()
        assert hub.peers() == ()


async def test_needs_to_be_open(make):
    with pytest.raises(TransportError, match="not open"):
        make().dial(HOST, 1)


async def test_what_is_too_large_for_a_peer_is_not_sent_and_the_connection_stays(make):
    small = TransportSettings(frame_bytes=4096)
    async with make("hub") as hub, make("leaf", small) as leaf:
        for endpoint in (hub, leaf):
            endpoint.subscribe(A1)
        port = await hub.listen(HOST, 0)
        async with Recorder(hub) as hub_sees, Recorder(leaf) as leaf_sees:
            leaf.dial(HOST, port)
            await hub_sees.added()
            await leaf_sees.added()
            hub.publish(A1, agent.NotifyLog("a1", "x" * 5000))
            hub.publish(A1, log("after it"))
            await leaf_sees.event(log("after it"))
            assert [type(seen.event) for seen in leaf_sees.deliveries] == [agent.NotifyLog]
            assert hub.metrics.frames_too_large == 1
            # A request says so at once.
            request = agent.NodeDispatchRequest("x", ("y" * 5000,))
            with pytest.raises(FrameTooLargeError, match=r"node_dispatch_request of \d+ bytes is more than the 4096"):
                await hub.request(A1, request, 20)


@pytest.mark.parametrize("directed", [False, True])
async def test_who_asks_for_more_than_it_accepts_is_told_so(make, directed):
    small = TransportSettings(frame_bytes=4096)
    async with make("hub") as hub, make("leaf", small) as leaf:
        for endpoint in (hub, leaf):
            endpoint.subscribe(A1)
        port = await hub.listen(HOST, 0)

        def react(received: BusEvent) -> None:
            if isinstance(received, Delivery) and isinstance(received.event, agent.GetNodesRequest):
                reqid = received.event.reqid
                hub.reply(received, agent.GetNodesResponse(reqid, Result(reqid, error="x" * 5000)))

        async with Recorder(hub, react), Recorder(leaf) as leaf_sees:
            leaf.dial(HOST, port)
            peer = await leaf_sees.added()
            with pytest.raises(FrameTooLargeError, match=r"get_nodes_response of \d+ bytes is more than the 4096"):
                await leaf.request(A1, agent.GetNodesRequest("x"), 20, to=peer if directed else None)
            assert leaf.peers() == (peer,)
