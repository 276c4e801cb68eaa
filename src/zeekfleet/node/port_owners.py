"""Which process has a TCP port, from ``/proc``."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import msgspec

from zeekfleet.model.variables import LAUNCH, MANAGEMENT_NODE

LISTEN = "0A"
TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
LAUNCH_MARK = f"{LAUNCH}=".encode()
"""In the environment of every process that a stem of ours has started."""

MANAGEMENT_MARK = f"{MANAGEMENT_NODE}=".encode()
"""In that of agents and controllers."""


class PortOwner(msgspec.Struct, frozen=True):
    """A process, its name, and whether it is a cluster node of some zeekfleet."""

    pid: int
    program: str
    is_node: bool


def listened_ports() -> frozenset[int]:
    """All TCP ports that somebody listens on in this network namespace, at whatever address."""
    return frozenset(_listening(None).values())


def owners(ports: Collection[int], likely: Iterable[int] = ()) -> dict[int, PortOwner]:
    """Who listens on these ports, as far as this process may see it.

    Args:
        ports: TCP ports in use.
        likely: processes to look at first.
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
    """Inode to port of the sockets that listen on these ports, or on any."""
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
    """Evaluated late: only where the likely ones do not suffice."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are all that is wanted
        if name.isdigit():
            yield int(name)


def _sockets(pid: int) -> Iterator[str]:
    """The inodes of a process' sockets; none where it is gone or somebody else's."""
    directory = f"/proc/{pid}/fd"
    try:
        names = os.listdir(directory)  # noqa: PTH208
    except OSError:
        return
    for name in names:
        try:
            target = os.readlink(f"{directory}/{name}")  # noqa: PTH115 - thousands of them, no objects
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
