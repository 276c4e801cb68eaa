"""Asks the kernel about this host's interfaces, CPUs, capabilities and ports, as far as nodes need them."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from collections.abc import Iterable
from pathlib import Path

from zeekfleet.node.port_owners import owners
from zeekfleet.planning.checks import HostFacts, Listener, Needs, PortUse
from zeekfleet.system import procfs
from zeekfleet.system.capabilities import of_mask
from zeekfleet.system.cpus import can_pin

CAPABILITIES = frozenset({"CAP_NET_BIND_SERVICE", "CAP_NET_ADMIN", "CAP_NET_RAW"})
"""The capabilities that matter to nodes."""

FILE_CAPABILITIES = "security.capability"
FILE_EFFECTIVE = 0x1
ADDRESS_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def gather(
    needs: Iterable[Needs], likely: frozenset[int], program: str | None, given: frozenset[str] | None = None
) -> HostFacts:
    """The facts about these needs; takes milliseconds.

    Args:
        needs: what the nodes need.
        likely: the processes that probably use the ports, and are looked at first.
        program: the nodes' program, if its file may have capabilities.
        given: the only capabilities that nodes are given, those of their program's file included; None: all.
    """
    wanted = list(needs)
    capabilities = node_capabilities(program)
    if given is not None:
        capabilities &= given
    return HostFacts(
        interfaces=frozenset(name for _, name in socket.if_nameindex()),
        cpus=frozenset(cpu for cpu in {cpu for need in wanted for cpu in need.cpus} if can_pin(cpu)),
        capabilities=capabilities,
        ports=_ports((listener for need in wanted for listener in need.listeners), likely, capabilities),
    )


def node_capabilities(program: str | None, status: str | None = None) -> frozenset[str]:
    """The capabilities that a program would have if this process started it.

    It would have the capabilities of its own file, and those that this process has; our own program's file has none.

    Args:
        program: the program's path.
        status: the text of ``/proc/self/status``; read by default.
    """
    text = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace") if status is None else status
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    mask = int(fields.get("CapEff", "0").strip(), 16)
    if program is not None and fields.get("NoNewPrivs", "0").strip() == "0":
        mask |= _granted_by_file(program)
    return of_mask(mask) & CAPABILITIES


def _granted_by_file(program: str) -> int:
    try:
        found = Path(program).stat()
        if found.st_uid == 0 and found.st_mode & stat.S_ISUID:
            return ~0
        content = os.getxattr(program, FILE_CAPABILITIES)
    except OSError:
        return 0
    return file_capabilities(content)


def file_capabilities(content: bytes) -> int:
    """The capabilities that a program gets from the attribute of its file (capabilities(7)), as a bit mask."""
    if len(content) < 12:
        return 0
    kind, permitted = struct.unpack_from("<II", content)
    return int(permitted) if kind & FILE_EFFECTIVE else 0


def _ports(
    listeners: Iterable[Listener], likely: frozenset[int], capabilities: frozenset[str]
) -> dict[tuple[str, int], PortUse]:
    refused: dict[tuple[str, int], PortUse] = {}
    for place in {(listener.host, listener.port) for listener in listeners}:
        number = _refusal(*place)
        if number is None and "CAP_NET_BIND_SERVICE" not in capabilities and 0 < place[1] < _first_free_port():
            number = errno.EACCES  # it is only we who may
        if number == errno.EACCES and "CAP_NET_BIND_SERVICE" in capabilities:
            continue
        if number == errno.EADDRINUSE:
            refused[place] = PortUse("is in use")
        elif number is not None:
            refused[place] = PortUse(f"cannot be listened on: {os.strerror(number)}")
    taken = {port for (_, port), use in refused.items() if use.reason == "is in use"}
    known = owners(taken, likely) if taken else {}
    for place in refused:
        owner = known.get(place[1])
        if owner is not None:
            refused[place] = PortUse("is in use", owner.pid, owner.program, owner.is_node)
    return refused


def _first_free_port() -> int:
    """The first port on which every user may listen."""
    text = procfs.read("/proc/sys/net/ipv4/ip_unprivileged_port_start").decode("ascii", "replace").strip()
    return int(text) if text.isdecimal() else 1024


def _refusal(host: str, port: int) -> int | None:
    """The error number of binding as a server does; None if it works, or if the address is not this host's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            # All our servers set this: then a listener is an obstacle, but its predecessor's old connections are not.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return None if error.errno in ADDRESS_NOT_HERE else error.errno
    return None
