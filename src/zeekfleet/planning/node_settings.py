"""Settings of one node for which the protocol's node record has no field. They are variables in the node's ``env``.

Each is also a key of our INI files: ``nice = 5`` stands for ``env = ZEEKFLEET_NICE=5``, which zeek-client accepts as
well. Each overrides the daemon's setting of the same name, which is for all nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from zeekfleet.model import ranges
from zeekfleet.model.launch import Resources, RevivalSettings
from zeekfleet.model.supervisor import NodeConfig

SIZES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
SWITCHES = {"yes": True, "no": False, "true": True, "false": False, "on": True, "off": False, "1": True, "0": False}


Reader = Callable[[str], Any]


class NodeSettings(msgspec.Struct, frozen=True):
    """The settings of one node.

    Attributes:
        grace: seconds between SIGTERM and SIGKILL; None if it is not set.
        grace_ceiling: seconds until SIGKILL for a node that still works; None if it is not set.
        revival: the fields of :class:`RevivalSettings` that are set.
        resources: the fields of :class:`Resources` that are set.
    """

    grace: float | None = None
    grace_ceiling: float | None = None
    revival: dict[str, Any] = msgspec.field(default_factory=dict)
    resources: dict[str, Any] = msgspec.field(default_factory=dict)

    def revival_from(self, default: RevivalSettings) -> RevivalSettings:
        """The node's revival settings: ``default``, overridden by its own."""
        return msgspec.structs.replace(default, **self.revival)

    def resources_from(self, default: Resources) -> Resources:
        """The node's resources: ``default``, overridden by its own."""
        return msgspec.structs.replace(default, **self.resources)


def read(environment: Mapping[str, str]) -> NodeSettings:
    """Read the settings from a node's environment.

    Raises:
        ValueError: a variable has an invalid value; names the variable, its value, and what was expected.
    """
    graces: dict[str, float] = {}
    revival: dict[str, Any] = {}
    resources: dict[str, Any] = {}
    for key, (kind, field, reader) in KEYS.items():
        if (text := environment.get(variable(key))) is None:
            continue
        try:
            value = reader(text)
        except ValueError as error:
            raise ValueError(f"{variable(key)}: '{text}' is wrong, expected {error}") from None
        if kind is RevivalSettings:
            revival[field] = value
        elif kind is Resources:
            resources[field] = value
        else:
            graces[field] = value
    return NodeSettings(**graces, revival=revival, resources=resources)


def variable(key: str) -> str:
    """The variable for a key of the INI file."""
    return f"ZEEKFLEET_{key.upper()}"


def problems(environment: Mapping[str, str]) -> Iterator[str]:
    """The variables with invalid values, one text each."""
    for key, text in environment.items():
        if key in VARIABLES:
            try:
                read({key: text})
            except ValueError as error:
                yield str(error)


def cpus_of(config: NodeConfig) -> frozenset[int]:
    """The CPUs that a node is bound to; empty if it is not bound, or if the setting is invalid."""
    if config.cpu_affinity is not None:
        return frozenset({config.cpu_affinity})
    try:
        return frozenset(read(config.env).resources.get("cpus", ()))
    except ValueError:
        return frozenset()


def _switch(text: str) -> bool:
    if (found := SWITCHES.get(text.strip().lower())) is None:
        raise ValueError("yes or no")
    return found


def _bytes(expected: ranges.Range) -> Reader:
    def read_bytes(text: str) -> int:
        stripped = text.strip().upper().removesuffix("B").removesuffix("I")
        unit = stripped[-1:] if stripped[-1:] in SIZES else ""
        number = stripped.removesuffix(unit).strip()
        if not (number.isascii() and number.isdigit()) or len(number) > 20 or int(number) * SIZES[unit] not in expected:
            raise ValueError(f"a number of bytes, at least {expected.least}, such as 512M or 2G")
        return int(number) * SIZES[unit]

    return read_bytes


def _cpus(text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        last = last if dash else first
        if not all(end.isascii() and end.isdigit() and int(end) in ranges.RESOURCES["cpus"] for end in (first, last)):
            raise ValueError("CPUs counted from 0, such as 0-3,8")
        if int(first) > int(last):
            raise ValueError("the lower CPU first, such as 0-3")
        found.update(range(int(first), int(last) + 1))
    return tuple(sorted(found))


def _number(kind: Callable[[str], Any], expected: ranges.Range) -> Reader:
    def read_number(text: str) -> Any:
        try:
            value = None if "_" in text else kind(text)
        except ValueError:
            value = None
        if value is None or value not in expected:
            raise ValueError(str(expected))
        return value

    return read_number


KEYS: dict[str, tuple[type[object] | None, str, Reader]] = {
    "grace": (None, "grace", _number(float, ranges.GRACE)),
    "grace_ceiling": (None, "grace_ceiling", _number(float, ranges.GRACE_CEILING)),
    "cpus": (Resources, "cpus", _cpus),
    "nice": (Resources, "nice", _number(int, ranges.RESOURCES["nice"])),
    "memory_limit": (Resources, "memory", _bytes(ranges.NODE_MEMORY)),
    "open_files": (Resources, "open_files", _number(int, ranges.RESOURCES["open_files"])),
    "core_limit": (Resources, "core", _bytes(ranges.RESOURCES["core"])),
    "cgroup": (Resources, "cgroup", _switch),
    "revival": (RevivalSettings, "enabled", _switch),
    "revival_initial_delay": (RevivalSettings, "initial_delay", _number(float, ranges.REVIVAL["initial_delay"])),
    "revival_factor": (RevivalSettings, "factor", _number(float, ranges.REVIVAL["factor"])),
    "revival_max_delay": (RevivalSettings, "max_delay", _number(float, ranges.REVIVAL["max_delay"])),
    "revival_jitter": (RevivalSettings, "jitter", _number(float, ranges.REVIVAL["jitter"])),
    "revival_stable_after": (RevivalSettings, "stable_after", _number(float, ranges.REVIVAL["stable_after"])),
    "revival_loop_limit": (RevivalSettings, "loop_limit", _number(int, ranges.REVIVAL["loop_limit"])),
    "revival_loop_window": (RevivalSettings, "loop_window", _number(float, ranges.REVIVAL["loop_window"])),
    "revival_retry_delay": (RevivalSettings, "retry_delay", _number(float, ranges.REVIVAL["retry_delay"])),
}
"""By key of the INI file: the record that it is a field of, the field's name, and the function that reads it."""

VARIABLES = frozenset(variable(key) for key in KEYS)
