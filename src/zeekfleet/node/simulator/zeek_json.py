"""Values as Zeek's ``to_json`` writes them (seen with Zeek 9.0.0-rc1)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

_UNITS = (
    ("day", 86_400_000_000),
    ("hr", 3_600_000_000),
    ("min", 60_000_000),
    ("sec", 1_000_000),
    ("msec", 1_000),
    ("usec", 1),
)


def string(text: str) -> str:
    """Such as ``"text"``; strings, enums, addresses and subnets all look like this."""
    return json.dumps(text.encode("utf-8", "replace").decode(), ensure_ascii=False)


def boolean(value: bool) -> str:
    """``true`` or ``false``."""
    return "true" if value else "false"


def double(value: float) -> str:
    """Such as ``0.5``; always with a decimal point."""
    return repr(float(value))


def port(number: int = 0, protocol: str = "?") -> str:
    """Such as ``{"port":80,"proto":"tcp"}``; a missing port is number 0 with an unknown protocol."""
    return f'{{"port":{number},"proto":{string("unknown" if protocol == "?" else protocol)}}}'


def interval(seconds: float) -> str:
    """Such as ``"1.0 day 2.0 hrs"``, with every unit that is not zero; ``"0 secs"`` for zero."""
    sign = -1.0 if seconds < 0 else 1.0
    rest = round(abs(seconds) * 1_000_000)
    words = []
    for unit, microseconds in _UNITS:
        count, rest = divmod(rest, microseconds)
        if count:
            words.append(f"{sign * count:.1f} {unit}{'' if count == 1 else 's'}")
    return string(" ".join(words) or "0 secs")


def sequence(items: Iterable[str]) -> str:
    """A set or vector of values that are JSON already."""
    return f"[{','.join(items)}]"


def mapping(fields: Mapping[str, str | None]) -> str:
    """A record or table of values that are JSON already; unset fields are left out."""
    return "{" + ",".join(f"{string(name)}:{text}" for name, text in fields.items() if text is not None) + "}"
