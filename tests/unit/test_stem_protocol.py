from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekfleet.errors import StemError
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.stem import protocol
from zeekfleet.system.timers import Timers

SPEC = LaunchSpec("n", ("sleep", "1"), {"A": "ü"}, "/d", "/d/out", "/d/err", files={"a/b": "x"}, cpu_affinity=0)
TO_STEM: list[protocol.ToStem] = [
    protocol.Hello(),
    protocol.Create(1, (SPEC,)),
    protocol.Destroy(2, ("n",)),
    protocol.Restart(3, ()),
    protocol.Shutdown(5, (("a", "b"), ("c",))),
]
REPORT = protocol.NodeReport(SPEC, 1, 2, True, False, 3, 4, 5)
EXITED = protocol.Exited("n", 1, 2, None, 9, True, False, 0.5, False, 0, 10, 0, 20)
FROM_STEM: list[protocol.FromStem] = [
    protocol.Welcome(1, 2, (REPORT,), (EXITED, protocol.LaunchFailed("n", "why", None, True)), 3),
    protocol.Refused("no"),
    protocol.Done(1, {"n": ""}),
    protocol.Started("n", 1, 2, 3, 4),
    EXITED,
]


@given(cuts=st.lists(st.integers(0, 5000)))
def test_messages_survive_any_fragmentation(cuts: list[int]) -> None:
    stream = b"".join(protocol.encode(message) for message in [*TO_STEM, *FROM_STEM])
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    reader = protocol.FrameReader()
    bodies = [body for a, b in itertools.pairwise(edges) for body in reader.feed(stream[a:b])]
    assert [protocol.to_stem_decoder.decode(body) for body in bodies[: len(TO_STEM)]] == TO_STEM
    assert [protocol.from_stem_decoder.decode(body) for body in bodies[len(TO_STEM) :]] == FROM_STEM


def test_a_frame_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(StemError, match="over the limit"):
        list(protocol.FrameReader().feed(struct.pack("!I", protocol.MAX_FRAME + 1)))


def test_timers_run_in_order_and_the_wait_ends_with_the_last() -> None:
    now = 0.0
    timers = Timers(lambda: now)
    ran: list[str] = []
    assert timers.wait() is None
    timers.after(2, lambda: ran.append("b"))
    timers.after(1, lambda: ran.append("a"))
    cancelled = timers.after(0.5, lambda: ran.append("never"))
    cancelled.cancel()
    assert timers.wait() == 1
    now = 1.5
    timers.run_due()
    assert ran == ["a"]
    assert timers.wait() == 0.5
    now = 3
    assert timers.wait() == 0
    timers.run_due()
    assert ran == ["a", "b"]
    assert timers.wait() is None
