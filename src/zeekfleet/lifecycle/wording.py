"""Says in words when a process that has ended is started again, so that all messages use the same words."""

from __future__ import annotations

import time


def next_start_text(revive_in: float | None, failed: bool, attempt: int, window: float) -> str:
    """Such as ``started again in 2 s, 3rd time in 60 s``.

    Args:
        revive_in: seconds until the next start, 0 for at once, None for never.
        failed: whether it is in a crash loop, or cannot be started.
        attempt: the number of this end within ``window``, counted from 1; 0 if it was not counted.
        window: the time within which ends are counted, in seconds.
    """
    if revive_in is None:
        return "not started again"
    verb = "tried again" if failed else "started again"
    when = f"in {seconds(revive_in)}" if revive_in else "at once"
    count = f", {ordinal(attempt)} time in {seconds(window)}" if attempt > 1 else ""
    return f"{verb} {when}{count}"


def seconds(number: float) -> str:
    """Such as ``2 s`` or ``0.5 s``."""
    return f"{round(number, 1):g} s"


def ordinal(number: int) -> str:
    """Such as ``3rd``."""
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def clock_text(moment: float, now: float) -> str:
    """``moment`` as local time of day, with the date if it is not today; both arguments are in seconds since 1970."""
    then = time.localtime(moment)
    today = then[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M" if today else "%Y-%m-%d %H:%M", then)


def ago(moment: float | None, now: float) -> str:
    """Such as ``2 min 5 s ago``; ``never`` if ``moment`` is None. Both arguments are in seconds since 1970."""
    return "never" if moment is None else f"{duration(now - moment)} ago"


def duration(seconds: float) -> str:
    """A number of seconds in its two largest units, such as ``2 min 5 s``."""
    whole = max(0, int(seconds))
    for unit, size, lesser, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {lesser}"
    return f"{whole} s"
