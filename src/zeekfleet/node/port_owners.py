"""Which process listens on a TCP port, read from ``/proc``."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import msgspec

from zeekfleet.model.variables import LAUNCH, MANAGEMENT_NODE

LISTEN = "0A"
TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
LAUNCH_MARK = f"{LAUNCH}=".encode()
"""Every process that any stem has started has this in its environment."""

MANAGEMENT_MARK = f"{MANAGEMENT_NODE}=".encode()
"""Agents and controllers also have this."""


class PortOwner(msgspec.Struct, frozen=True):
    """A process that listens, its program's name, and whether it is a cluster node of any zeekfleet."""

    pid: int
    program: str
    is_node: bool


def listened_ports() -> frozenset[int]:
    """All TCP ports with a listener in this network namespace, at any address."""
    return frozenset(_listening(None).values())


def owners(ports: Collection[int], likely: Iterable[int] = ()) -> dict[int, PortOwner]:
    """The process that listens on each of these ports, as far as this process has permission to see it.

    Args:
        ports: TCP ports that are in use.
        likely: the processes to look at first.
    """
    inodes = _listening(frozenset(ports))
    found: dict[int, PortOwner] = {}
    seen: set[int] = set()
    for pid in (*likely, *_all_processes()):
        if not inodes:
            break
        if pid in seen:
            continue
        seen.add(pid)
        mine = [inode for inode in _sockets(pid) if inode in inodes]
        for inode in mine:
            found[inodes.pop(inode)] = _owner(pid)
    return found


def _listening(ports: frozenset[int] | None) -> dict[str, int]:
    """The listening sockets' inodes, with their ports; only of these ports, if any are given."""
    found: dict[str, int] = {}
    for table in TABLES:
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            port = int(fields[1].rpartition(":")[2], 16)
            if fields[3] == LISTEN and (ports is None or port in ports):
                found[fields[9]] = port
    return found


def _all_processes() -> Iterator[int]:
    """All process ids. A generator, since the directory is only needed after the likely processes."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - only names are needed
        if name.isdigit():
            yield int(name)


def _sockets(pid: int) -> Iterator[str]:
    """The inodes of a process' sockets; none if it has ended, or if we may not look at it."""
    directory = f"/proc/{pid}/fd"
    try:
        names = os.listdir(directory)  # noqa: PTH208
    except OSError:
        return
    for name in names:
        try:
            target = os.readlink(f"{directory}/{name}")  # noqa: PTH115 - called thousands of times; Path is slower
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[8:-1]


def _owner(pid: int) -> PortOwner:
    try:
        program = Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return PortOwner(pid, "already gone", False)
    launched = any(variable.startswith(LAUNCH_MARK) for variable in variables)
    management = any(variable.startswith(MANAGEMENT_MARK) for variable in variables)
    return PortOwner(pid, program, launched and not management)
