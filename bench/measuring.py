"""Small helpers for measuring."""

from __future__ import annotations

import time
from collections.abc import Callable


def seconds_per_call(function: Callable[[], object], budget: float = 1.0) -> float:
    """The best of several rounds that take about ``budget`` seconds together."""
    started = time.perf_counter()
    function()
    calls = max(1, int(budget / 5 / (time.perf_counter() - started)))
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(calls):
            function()
        best = min(best, (time.perf_counter() - started) / calls)
    return best


def show(what: str, ours: float, theirs: float, wanted: float) -> None:
    """One line: both times and their ratio."""
    ratio = theirs / ours
    verdict = "" if ratio >= wanted else f"   BELOW the {wanted:g} aimed at"
    print(f"{what:<58} {ours * 1e6:9.0f} us {theirs * 1e6:9.0f} us {ratio:7.1f} x{verdict}")
