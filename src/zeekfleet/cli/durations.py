"""Durations as people write them: ``30s``, ``15min``, ``1h30min``, ``2d``. Pure."""

from __future__ import annotations

import re

UNITS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(s|min|m|h|d)")


def parse_duration(text: str) -> float | None:
    """The seconds that a text stands for; None if it is no duration."""
    parts = _PART.findall(text)
    if not parts or "".join(map("".join, parts)) != text:
        return None
    return sum(float(number) * UNITS[unit] for number, unit in parts)
