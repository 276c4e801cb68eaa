"""Finds the control groups of this process in the file system, and reads their counters."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from zeekfleet.system import procfs

_ESCAPED = re.compile(rb"\\([0-7]{3})")


class Place(msgspec.Struct, frozen=True):
    """The directory of a group, and that of the topmost group that this process can see."""

    directory: Path
    top: Path


def unified() -> Place | None:
    """Our group of cgroups version 2; None if that is not mounted, or the mount does not show our group."""
    return place_in(procfs.read("/proc/self/mountinfo"), procfs.read("/proc/self/cgroup"), "")


def memory_counter() -> Path | None:
    """The file that counts the processes of our own memory group that the kernel killed because memory ran out.

    None if there is no such counter: the topmost group of version 2 has none.
    """
    mounts, groups = procfs.read("/proc/self/mountinfo"), procfs.read("/proc/self/cgroup")
    candidates: list[Path] = []
    if (old := place_in(mounts, groups, "memory")) is not None:
        candidates.append(old.directory / "memory.oom_control")
    if (new := place_in(mounts, groups, "")) is not None:
        # If a group does not have the memory controller, the next group above it counts.
        candidates += [group / "memory.events.local" for group in _upwards(new)]
    return next((file for file in candidates if file.exists()), None)


def memory_kills(file: Path) -> int:
    """How many processes the kernel has killed because memory ran out, from that file; 0 if it cannot be read."""
    for line in procfs.read(str(file)).splitlines():
        name, _, count = line.partition(b" ")
        if name == b"oom_kill" and count.isdigit():
            return int(count)
    return 0


def group_of(pid: int) -> str | None:
    """The path of a process's group of version 2, from the topmost one that we can see; None if there is none."""
    return _own(procfs.read(f"/proc/{pid}/cgroup"), "")


def place_in(mounts: bytes, groups: bytes, controller: str) -> Place | None:
    """Our group's place in the file system; None if it is not visible.

    Args:
        mounts: the content of ``/proc/self/mountinfo``.
        groups: the content of ``/proc/self/cgroup``.
        controller: the controller, for version 1; ``""`` for version 2.
    """
    own = _own(groups, controller)
    if own is None:
        return None
    for line in mounts.splitlines():
        fields, _, kind = line.partition(b" - ")
        if not _is_kind(kind.split(), controller):
            continue
        _, _, _, root, point, *_ = fields.split()
        below = _below(own, _text(root))
        if below is not None:
            top = Path(_text(point))
            return Place(top / below, top)
    return None


def _is_kind(kind: list[bytes], controller: str) -> bool:
    """Whether a mount, given by its file system type, source and options, is that of the controller."""
    if not controller:
        return kind[:1] == [b"cgroup2"]
    return kind[:1] == [b"cgroup"] and controller.encode() in kind[-1].split(b",")


def _own(groups: bytes, controller: str) -> str | None:
    for line in groups.splitlines():
        _, _, rest = line.partition(b":")
        names, _, path = rest.partition(b":")
        if controller.encode() in names.split(b","):
            # The kernel marks a group that was removed while we were in it: it has no directory.
            return None if path.endswith(b" (deleted)") else os.fsdecode(path)
    return None


def _below(path: str, root: str) -> str | None:
    """A group's path relative to the root of a mount; None if it is not below that."""
    base = root.rstrip("/")
    if "/../" in f"{path}/" or not f"{path}/".startswith(f"{base}/"):
        return None
    return path[len(base) :].lstrip("/")


def _text(word: bytes) -> str:
    """Decode a path of ``mountinfo``, in which blanks and the like are octal numbers."""
    return os.fsdecode(_ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), word))


def _upwards(place: Place) -> Iterator[Path]:
    group = place.directory
    yield group
    while group not in (place.top, group.parent):
        group = group.parent
        yield group
