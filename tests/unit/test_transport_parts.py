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
from zeekfleet.transport.inbox import EXPECTANT_FACTOR, Inbox
from zeekfleet.transport.memory import MemoryLink
from zeekfleet.transport.metrics import TransportMetrics
from zeekfleet.transport.outgoing import Outgoing
from zeekfleet.transport.prefixes import canonical, common, on_the_wire, reduced
from zeekfleet.transport.router import Router
from zeekfleet.transport.settings import TransportSettings

PREFIXES = st.lists(st.text("ab/", max_size=4), max_size=5)
TOPICS = st.text("ab/", max_size=6)
ADDED = PeerAdded(Peer(1, "", "h", "h:1"))


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


async def test_the_queue_has_room_by_number_and_by_bytes():
    queue = Inbox(3, 100, TransportMetrics())
    for _ in range(2):
        queue.put(ADDED, 1)
    assert queue.has_room
    queue.put(ADDED, 1)
    assert not queue.has_room
    queue.expect(True)
    assert queue.has_room
    for _ in range(3 * EXPECTANT_FACTOR):
        queue.put(ADDED)
    assert not queue.has_room
    queue.expect(False)
    while not queue.has_room:
        await anext(queue)
    queue.put(ADDED, 100)
    assert not queue.has_room
    queue.close()
    assert queue.has_room
    assert len([received async for received in queue]) == 3


async def test_a_manual_clock_wakes_sleepers_in_order():
    clock = ManualClock()
    woken: list[int] = []

    async def sleep(seconds: int) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    async with asyncio.TaskGroup() as group:
        for seconds in (3, 1, 2, 0):
            group.create_task(sleep(seconds))
        await asyncio.sleep(0)
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
