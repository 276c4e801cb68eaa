"""The range of each numeric setting: one table for the daemons' settings, nodes' own settings, and launch specs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from zeekfleet.model.launch import Resources, RevivalSettings


class Range(msgspec.Struct, frozen=True):
    """The numbers from ``least`` to ``most``, both included. NaN is in no range.

    Attributes:
        what: what the numbers count, such as ``seconds``.
        is_open: whether ``least`` itself is excluded.
    """

    least: float
    most: float
    what: str = "seconds"
    is_open: bool = False

    def __contains__(self, value: float) -> bool:
        """Whether the number is in the range."""
        return self.least <= value <= self.most and not (self.is_open and value == self.least)

    def __str__(self) -> str:
        """Such as ``seconds from 0 to 86400``."""
        return f"{self.what} {'more than' if self.is_open else 'from'} {_plain(self.least)} to {_plain(self.most)}"


DAY: Final = 86400
HIGHEST_CPU: Final = 8191

NODE_MEMORY: Final = Range(16 * 2**20, 2**62, "bytes")
"""The memory limit of a cluster node. With less, a Zeek dies before it can report that memory is short."""

LONGEST_TEXT: Final = 128 * 2**10 - 1
"""The most bytes of one argument or environment variable of a process (execve(2): 32 pages)."""

LARGEST_TEXTS: Final = 256 * 2**10
"""The most bytes of all arguments and variables that a configuration gives one node. The kernel allows about 2 MiB,
but the texts of all nodes of a host have to fit into one message."""

PORT: Final = Range(0, 65535, "a port number")
SECONDS: Final = Range(0, DAY, is_open=True)
WAIT: Final = Range(0, DAY)
DELAY: Final = Range(0, 31 * DAY)
DAYS: Final = Range(0, 36_500, "days")

GRACE: Final = SECONDS
GRACE_CEILING: Final = WAIT

REVIVAL: Final[Mapping[str, Range]] = {
    "initial_delay": DELAY,
    "factor": Range(1, 100, "a factor"),
    "max_delay": DELAY,
    "jitter": Range(0, 10, "a fraction"),
    "stable_after": DELAY,
    "loop_limit": Range(1, 1_000_000, "a number"),
    "loop_window": DELAY,
    "retry_delay": DELAY,
}
"""By field of :class:`RevivalSettings`."""

RESOURCES: Final[Mapping[str, Range]] = {
    "cpus": Range(0, HIGHEST_CPU, "CPUs"),
    "nice": Range(-20, 19, "a priority"),
    "memory": Range(2**20, 2**62, "bytes"),
    "open_files": Range(16, 2**31, "a number of files"),
    "core": Range(0, 2**62, "bytes"),
}
"""By field of :class:`Resources`."""


def problems(
    grace: float | None,
    revival: RevivalSettings | None,
    resources: Resources | None,
    grace_ceiling: float = 0.0,
) -> Iterator[tuple[str, str]]:
    """The keys whose values are out of range, such as ``revival.stable_after``, each with what was expected."""
    if grace is not None and grace not in GRACE:
        yield "grace", f"expected {GRACE}"
    if grace_ceiling not in GRACE_CEILING:
        yield "grace_ceiling", f"expected {GRACE_CEILING}"
    for name, table, record in (("revival", REVIVAL, revival), ("resources", RESOURCES, resources)):
        for key, range_ in table.items():
            value = getattr(record, key, None)
            values = value if isinstance(value, tuple) else () if value is None else (value,)
            if not all(one in range_ for one in values):
                yield f"{name}.{key}", f"expected {range_}"


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:g}"
