"""The small pure parts of the transport, and the test helpers themselves."""

from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekfleet.broker.generations import canonical_topic
from zeekfleet.testing.clock import ManualClock
from zeekfleet.transport.bus import Peer, PeerAdded
from zeekfleet.transport.connection_limits import ConnectionLimits, peer_of
from zeekfleet.transport.inbox import EXPECTANT_FACTOR, Inbox
from zeekfleet.transport.memory import MemoryLink
from zeekfleet.transport.metrics import TransportMetrics
from zeekfleet.transport.outgoing import Outgoing
from zeekfleet.transport.prefixes import canonical, common, on_the_wire, reduced
from zeekfleet.transport.rates import Rate
from zeekfleet.transport.router import Router
from zeekfleet.transport.settings import TransportSettings
from zeekfleet.transport.unfinished_frames import UnfinishedFrames

PREFIXES = st.lists(st.text("ab/", max_size=4), max_size=5)
TOPICS = st.text("ab/", max_size=6)


@given(PREFIXES, TOPICS)
def test_a_reduced_set_matches_the_same_topics(prefixes, topic):
    assert topic.startswith(reduced(prefixes)) == topic.startswith(tuple(prefixes))
    kept = reduced(prefixes)
    assert not any(one != other and one.startswith(other) for one in kept for other in kept)


@given(PREFIXES, PREFIXES, TOPICS)
def test_common_topics_match_both_sets(left, right, topic):
    both = topic.startswith(tuple(left)) and topic.startswith(tuple(right))
    assert topic.startswith(common(left, right)) == both


@pytest.mark.parametrize(
    ("prefix", "wire"),
    [
        ("", ("",)),
        ("zeek/", ("zeek/",)),
        ("zeek/man", ("zeek/cluster-control/", "zeek/man")),
        ("zeek/management/agent", ("zeek/cluster-control/agent", "zeek/management/agent")),
        ("zeek/cluster-control/agent", ("zeek/cluster-control/agent", "zeek/management/agent")),
        ("zeek/supervisor", ("zeek/supervisor",)),
    ],
)
def test_both_generations_on_the_wire(prefix, wire):
    assert on_the_wire([prefix]) == wire


@given(
    st.lists(st.sampled_from(["zeek/management/agent", "zeek/cluster-control/", "zeek/", "zeek/m"])),
    st.sampled_from(["zeek/management/agent/a", "zeek/cluster-control/agent/a", "zeek/supervisor", "zeek/management"]),
)
def test_reduced_topics_bring_everything_that_was_subscribed(prefixes, topic):
    if canonical_topic(topic).startswith(canonical(prefixes)):
        assert topic.startswith(on_the_wire(canonical(prefixes)))


class FakeTransport:
    """Accepts all frames, and keeps those that are not ``taken``."""

    def __init__(self) -> None:
        self.waiting = 0
        self.blocked = False

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def write(self, data: bytes) -> None:
        if self.blocked or self.waiting:
            self.waiting += len(data)


def test_outgoing_counts_frames_that_wait():
    transport = FakeTransport()
    outgoing = Outgoing(transport, frames=3, size=1000)
    assert all(outgoing.write(b"x" * 10) for _ in range(100))
    transport.blocked = True
    assert [outgoing.write(b"x" * 10) for _ in range(4)] == [True, True, True, False]
    transport.waiting -= 10
    assert [outgoing.write(b"x" * 10) for _ in range(2)] == [True, False]
    transport.waiting, transport.blocked = 0, False
    assert all(outgoing.write(b"x" * 10) for _ in range(100))


def test_outgoing_counts_bytes_that_wait_but_lets_one_frame_through():
    transport = FakeTransport()
    transport.blocked = True
    outgoing = Outgoing(transport, frames=100, size=100)
    assert outgoing.write(b"x" * 500)
    assert not outgoing.write(b"x")
    transport.waiting = 0
    assert outgoing.write(b"x" * 60)
    assert outgoing.write(b"x" * 40)
    assert not outgoing.write(b"x")


def added(peer: int) -> PeerAdded:
    return PeerAdded(Peer(peer, "", "h", f"h:{peer}"))


async def test_the_queue_has_room_by_number_and_by_bytes():
    queue = Inbox(3, 100, 100, TransportMetrics())
    for peer in (1, 1, 2):
        assert queue.has_room(1)
        queue.put(added(peer), 1)
    assert not queue.has_room(1)
    queue.expect(True)
    assert queue.has_room(1)
    for _ in range(3 * EXPECTANT_FACTOR):
        queue.put(added(1))
    assert not queue.has_room(1)
    queue.expect(False)
    while not queue.has_room(1):
        await anext(queue)
    queue.put(added(1), 100)
    assert not queue.has_room(1)
    queue.close()
    assert queue.has_room(1)
    assert [received.peer.id async for received in queue] == [1, 1, 1]


async def test_a_peer_that_fills_the_queue_holds_back_only_itself():
    queue = Inbox(3, 100, 100, TransportMetrics())
    for _ in range(3):
        queue.put(added(1))
    assert not queue.has_room(1)
    assert queue.has_room(2)
    queue.put(added(2))
    assert not queue.has_room(2)
    each = Inbox(100, 100, 2, TransportMetrics())
    each.put(added(1))
    assert each.has_room(1)
    each.put(added(1))
    assert not each.has_room(1)
    assert each.has_room(2)


async def test_peers_have_their_turns_and_what_each_sent_is_in_order():
    queue = Inbox(1000, 1000, 1000, TransportMetrics())
    for number, peer in enumerate((1, 1, 1, 1, 2, 3, 2)):
        queue.put(added(peer), number)
    queue.close()
    assert [received.peer.id async for received in queue] == [1, 2, 3, 1, 2, 1, 1]


async def test_a_held_back_peer_reads_on_when_half_of_what_it_sent_is_done():
    queue = Inbox(100, 1000, 4, TransportMetrics())
    for _ in range(4):
        queue.put(added(1))
    reading = asyncio.create_task(queue.room(1))
    await asyncio.sleep(0)
    await anext(queue)
    await asyncio.sleep(0)
    assert not reading.done()
    await anext(queue)
    async with asyncio.timeout(5):
        await reading


async def test_all_read_on_when_the_bytes_are_fewer():
    queue = Inbox(100, 10, 100, TransportMetrics())
    queue.put(added(1), 10)
    reading = [asyncio.create_task(queue.room(peer)) for peer in (1, 2, 3)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in reading)
    await anext(queue)
    async with asyncio.timeout(5):
        await asyncio.gather(*reading)


def test_unfinished_frames_are_cut_where_they_were_begun_first():
    cut: list[str] = []
    frames = UnfinishedFrames(10)
    frames.hold("slow", 4, lambda: cut.append("slow"), is_new=True)
    frames.hold("quick", 4, lambda: cut.append("quick"), is_new=True)
    frames.hold("slow", 5, lambda: cut.append("slow"), is_new=False)
    assert not cut
    frames.hold("third", 3, lambda: cut.append("third"), is_new=True)
    assert cut == ["slow"]
    frames.hold("quick", 0, lambda: cut.append("quick"), is_new=True)
    frames.hold("third", 3, lambda: cut.append("third"), is_new=True)
    frames.hold("quick", 8, lambda: cut.append("quick"), is_new=True)
    assert cut == ["slow", "third"]


def test_one_unfinished_frame_is_let_through_whatever_its_size():
    frames = UnfinishedFrames(10)
    frames.hold("large", 1000, lambda: pytest.fail("it was cut"), is_new=True)


def test_the_oldest_handshake_of_the_greediest_gives_way():
    limits = ConnectionLimits(10, 10, 3)
    entries = [limits.begin(who, lambda: None)[0] for who in ("a", "b", "b")]
    _, evicted = limits.begin("c", lambda: None)
    assert evicted is entries[1]
    assert limits.upgrade(entries[2]) == ""
    assert limits.begin("d", lambda: None)[1] is None


def test_upgraded_connections_are_counted_in_all_and_of_each_peer():
    limits = ConnectionLimits(3, 2, 10)
    first, second, third, fourth, fifth = (limits.begin(who, lambda: None)[0] for who in "aaabb")
    assert limits.upgrade(first) == limits.upgrade(second) == ""
    assert limits.upgrade(third) == "there are 2 connections of this peer already"
    assert limits.upgrade(fourth) == ""
    assert limits.upgrade(fifth) == "there are 3 connections already"
    limits.forget(first)
    limits.forget(first)
    assert limits.upgrade(third) == ""


def test_a_rate_has_a_burst_and_fills_again():
    clock = ManualClock()
    rate = Rate(2, 3, clock)
    assert [rate.take() for _ in range(4)] == [True, True, True, False]
    clock.advance(0.5)
    assert [rate.take() for _ in range(2)] == [True, False]
    clock.advance(1000)
    assert [rate.take() for _ in range(4)] == [True, True, True, False]


def test_peers_are_counted_by_user_address_or_network():
    assert peer_of(0, "127.0.0.1") == 0
    assert peer_of(None, "192.0.2.1") != peer_of(None, "192.0.2.2")
    assert peer_of(None, "2001:db8::1") == peer_of(None, "2001:db8::ffff:0:1%eth0")
    assert peer_of(None, "2001:db8::1") != peer_of(None, "2001:db8:0:1::1")
    assert peer_of(None, "::ffff:192.0.2.1") != peer_of(None, "::ffff:192.0.2.2")
    assert peer_of(None, "") == ""


async def test_a_manual_clock_wakes_sleepers_in_order():
    clock = ManualClock()
    woken: list[int] = []

    async def sleep(seconds: int) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    async with asyncio.TaskGroup() as group:
        for seconds in (3, 1, 2, 0):
            group.create_task(sleep(seconds))
        await clock.until_asleep(3)
        await asyncio.sleep(0)
        assert woken == [0]
        clock.advance(2)
        for _ in range(3):
            await asyncio.sleep(0)
        assert woken == [0, 1, 2]
        assert clock() == 1002.0
        clock.advance(1)
    assert woken == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="back"):
        clock.advance(-1)


@pytest.mark.parametrize(("fault", "level"), [("", logging.DEBUG), ("does not read", logging.WARNING)])
def test_a_lost_connection_is_warned_of_only_after_a_fault(fault, level, caplog):
    caplog.set_level(logging.DEBUG)
    settings_, metrics = TransportSettings(), TransportMetrics()
    ours, theirs = (MemoryLink(Peer(n, "client", "h", f"h:{n}"), (), settings_, metrics) for n in (1, 2))
    ours.other, theirs.other = theirs, ours
    router = Router(settings_, metrics)
    router.attach(ours)
    if fault:
        ours.cut(fault)
    router.detach(ours)
    added, lost = caplog.records
    assert added.levelno == logging.DEBUG
    assert lost.levelno == level
    assert fault in lost.getMessage()
