"""Leases beside a process that hears, looks, and now and then stands still."""

from __future__ import annotations

import heapq
import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from zeekfleet.controller.leases import Leases

LENGTH, REPRIEVE, RENEWAL = 15.0, 2.0, 5.0
END = 300.0

delays = st.floats(0.0, REPRIEVE / 2, allow_nan=False)
seldom = st.tuples(st.floats(2 * REPRIEVE, 30.0, allow_nan=False), st.floats(0.0, 30.0, allow_nan=False))
long = st.tuples(st.floats(0.0, 30.0, allow_nan=False), st.floats(2 * REPRIEVE, 30.0, allow_nan=False))
pauses = st.lists(seldom | long, max_size=5)
"""The time to a pause, and how long it lasts. A short one in a reprieve, before anything is read, is not noticed."""

gaps = st.lists(st.floats(RENEWAL / 2, RENEWAL, allow_nan=False), min_size=1, max_size=100)


class Process:
    """Keeps the leases of one agent, which is heard at certain times, and of one that is never heard.

    Args:
        pauses: for how long the process runs, stands still, and so on.
        delay: how late it is with everything.
    """

    def __init__(self, pauses: list[tuple[float, float]], delay: float) -> None:
        ends = itertools.accumulate(running + standing for running, standing in pauses)
        self.pauses = [(end - standing, end) for end, (_, standing) in zip(ends, pauses, strict=True)]
        self._delay = delay
        self.given_up: dict[str, float] = {}

    def does_at(self, due: float) -> float:
        """When the process does what it should do at a time."""
        at = due + self._delay
        for start, end in self.pauses:
            if start <= at < end:
                at = end
        return at

    def run(self, heard: list[float], granted: float = 0.0) -> None:
        """Look when it is time to. Looks come before what is heard at the same time, which is the worse case."""
        leases = Leases[str](LENGTH, REPRIEVE)
        for holder in ("heard", "silent"):
            leases.grant(holder, granted)
        order = itertools.count()
        # What was said during a pause is read one after the other, later than timers run.
        todo = [(self.does_at(self.does_at(time)), 1, next(order)) for time in heard]
        heapq.heapify(todo)
        heapq.heappush(todo, (self.does_at(granted + LENGTH), 0, next(order)))
        while todo:
            now, what, _ = heapq.heappop(todo)
            if what == 1:
                leases.heard("heard", now)
                continue
            for holder in leases.given_up(now):
                self.given_up.setdefault(holder, now)
            if (at := leases.next_look) is not None and at < END * 3:
                heapq.heappush(todo, (max(now, self.does_at(at)), 0, next(order)))


@example([RENEWAL] * 20, [(1.0, 20.0), (0.5, 20.0)], 0.9)  # nothing can be read between two pauses
@given(gaps, pauses, delays)
def test_who_renews_is_not_given_up_while_it_does_even_if_we_stand_still(
    between: list[float], stops: list[tuple[float, float]], delay: float
) -> None:
    heard = list(itertools.accumulate(between))
    process = Process(stops, delay * 0.9)
    process.run(heard)
    assert process.given_up.get("heard", END * 3) >= heard[-1] + LENGTH + REPRIEVE


@given(gaps, delays)
def test_who_is_silent_is_given_up_in_time(between: list[float], delay: float) -> None:
    process = Process([], delay * 0.9)
    heard = list(itertools.accumulate(between))
    process.run(heard)
    assert LENGTH + REPRIEVE <= process.given_up["silent"] <= LENGTH + REPRIEVE + 2 * delay
    last = heard[-1] + 2 * delay
    assert heard[-1] + LENGTH + REPRIEVE <= process.given_up["heard"] <= last + LENGTH + REPRIEVE + 2 * delay


@given(pauses, delays)
def test_nobody_is_given_up_before_a_reprieve_has_passed_since_a_pause_that_outlasted_a_lease(
    stops: list[tuple[float, float]], delay: float
) -> None:
    process = Process(stops, delay * 0.9)
    process.run([])
    for start, end in process.pauses:
        if start < LENGTH < end:
            assert process.given_up["silent"] >= end + REPRIEVE
