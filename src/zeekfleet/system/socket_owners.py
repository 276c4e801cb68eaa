"""Asks the kernel for the user at the other end of a connection from this host.

For a Unix socket, ``SO_PEERCRED`` tells it. For TCP, the kernel is asked for the peer's socket by its addresses and
ports (``NETLINK_SOCK_DIAG``, see sock_diag(7)). If that is not possible, the tables in ``/proc/net`` are read. Only
sockets in our own network namespace are found.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_ALL_STATES = 0xFFFFFFFF
_NO_COOKIE = (0xFFFFFFFF, 0xFFFFFFFF)
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI")
_PORTS = struct.Struct("!HH")
_REST = struct.Struct("=III")
_FIXED = struct.Struct("=BBBB")
_TAIL = struct.Struct("=IIIII")
_TAIL_PLACE = 4 + 48
_REPLY_SIZE = _HEADER.size + _TAIL_PLACE + _TAIL.size
_LISTEN = 10

LINKS_LIMIT = 8192
"""The most descriptors that are read to find the program of a socket."""


class Owner(NamedTuple):
    """The user id of a socket's owner, and the socket's inode."""

    uid: int
    inode: int


class Ends(NamedTuple):
    """The two ends of a TCP connection, as seen by one of its sockets: address and port of each."""

    local: tuple[str, int]
    remote: tuple[str, int]


class SocketOwners:
    """Finds the owners of TCP sockets in this network namespace.

    Attributes:
        way: how the kernel is asked: ``netlink`` or ``proc``; ``""`` if neither works.
    """

    def __init__(self) -> None:
        self._netlink = _open_netlink()
        self.way = "netlink" if self._netlink is not None else "proc" if _proc_tables() else ""

    def owner(self, ends: Ends) -> Owner | None:
        """The owner of the socket with exactly these ends; None if there is none, or no process has it open."""
        if self._netlink is not None:
            try:
                return _ask(self._netlink, ends)
            except OSError:
                self._netlink.close()
                self._netlink = _open_netlink()
                self.way = "netlink" if self._netlink is not None else "proc" if _proc_tables() else ""
                if self._netlink is not None:
                    with contextlib.suppress(OSError):
                        return _ask(self._netlink, ends)
        return _look_up(ends)

    def close(self) -> None:
        """Close the netlink socket."""
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None
            self.way = ""


def program_of(pid: int) -> str:
    """The path of a process's program, else its name; ``""`` if it cannot be read."""
    try:
        return str(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        pass
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").rstrip("\n")
    except OSError:
        return ""


def program_with(owner: Owner) -> str:
    """The program of a process that has this socket open; ``""`` if it is not found within ``LINKS_LIMIT``."""
    wanted, looked = f"socket:[{owner.inode}]", 0
    for process in _processes_of(owner.uid):
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                looked += 1
                if looked > LINKS_LIMIT:
                    return ""
                if str(descriptor.readlink()) == wanted:
                    return program_of(int(process.name))
    return ""


def _processes_of(uid: int) -> Iterator[Path]:
    """The directories of a user's processes, the newest first: a peer that has just connected is likely a new one."""
    numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    for number in sorted(numbers, reverse=True):
        process = Path(f"/proc/{number}")
        with contextlib.suppress(OSError):
            if process.stat().st_uid == uid:
                yield process


# --- NETLINK_SOCK_DIAG


def _open_netlink() -> socket.socket | None:
    """A netlink socket; None if the kernel does not answer, because it is too old or a seccomp filter forbids it."""
    try:
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
    except OSError:
        return None
    try:
        opened.connect((0, 0))  # receive from the kernel only
        opened.settimeout(1.0)  # it normally answers at once; do not wait for one that does not
        for nowhere in ("127.0.0.1", "::1"):
            _ask(opened, Ends((nowhere, 0), (nowhere, 0)))
    except OSError:
        opened.close()
        return None
    return opened


def _ask(netlink: socket.socket, ends: Ends) -> Owner | None:
    """One query for one socket.

    Raises:
        OSError: the kernel does not answer such queries.
    """
    family = socket.AF_INET6 if ":" in ends.local[0] else socket.AF_INET
    ports = _PORTS.pack(ends.local[1], ends.remote[1])
    addresses = _packed(family, ends.local[0]) + _packed(family, ends.remote[0])
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, _ALL_STATES) + ports + addresses + _REST.pack(0, *_NO_COOKIE)
    netlink.send(_HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0) + body)
    reply = netlink.recv(65536)
    if len(reply) < _HEADER.size:
        raise OSError("a netlink message without its header")
    kind = _HEADER.unpack_from(reply)[1]
    if kind != _SOCK_DIAG_BY_FAMILY:
        # This is an error message, which begins with the negative error number.
        number = -struct.unpack_from("=i", reply, _HEADER.size)[0] if len(reply) >= _HEADER.size + 4 else 0
        if number == 2:  # ENOENT: there is no such socket
            return None
        raise OSError(number, os.strerror(number))
    if len(reply) < _REPLY_SIZE:
        raise OSError("a netlink message of another form")
    _, state, _, _ = _FIXED.unpack_from(reply, _HEADER.size)
    told = reply[_HEADER.size + 4 : _HEADER.size + 4 + len(ports) + len(addresses)]
    _, _, _, uid, inode = _TAIL.unpack_from(reply, _HEADER.size + _TAIL_PLACE)
    # Without such a connection, the kernel returns a socket that listens on the port. And a socket that no process has
    # open any more is returned with inode 0 and user 0.
    if told != ports + addresses or state == _LISTEN or inode == 0:
        return None
    return Owner(uid, inode)


def _packed(family: int, address: str) -> bytes:
    return socket.inet_pton(family, address).ljust(16, b"\0")


# --- /proc/net


def _proc_tables() -> bool:
    return os.access("/proc/net/tcp", os.R_OK)


def _look_up(ends: Ends) -> Owner | None:
    """The same from the tables in ``/proc/net``, which have one line for each socket."""
    table = Path("/proc/net/tcp6" if ":" in ends.local[0] else "/proc/net/tcp")
    wanted = f" {_as_in_table(*ends.local)} {_as_in_table(*ends.remote)} "
    try:
        text = table.read_text()
    except OSError:
        return None
    place = text.find(wanted)
    if place < 0:
        return None
    state, _, _, _, uid, _, inode = text[place + len(wanted) : text.index("\n", place)].split()[:7]
    return Owner(int(uid), int(inode)) if int(inode) and int(state, 16) != _LISTEN else None


def _as_in_table(address: str, port: int) -> str:
    """Address and port as in these tables: hexadecimal, four bytes at a time in the host's byte order."""
    packed = ipaddress.ip_address(address).packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"
