"""Hosts in a box: network namespaces with a wire between them. Needs root."""

from __future__ import annotations

import ctypes
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def possible() -> bool:
    """Whether this process may make namespaces, and has the tools."""
    if os.geteuid() != 0:
        return False
    try:
        done = subprocess.run(["unshare", "-n", "ip", "link", "set", "lo", "up"], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0


class Host:
    """One namespace.

    Attributes:
        name: of the namespace.
        address: on the wire.
    """

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address

    @contextmanager
    def inside(self) -> Iterator[None]:
        """What this thread does now, and every process that it starts, happens there."""
        with Path("/proc/thread-self/ns/net").open("rb") as before, Path(f"/run/netns/{self.name}").open("rb") as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def two_hosts(first: str, second: str) -> Iterator[tuple[Host, Host]]:
    """Two hosts on one wire, with these addresses in one /24 network."""
    mark = secrets.token_hex(3)
    hosts = Host(f"zf-{mark}-a", first), Host(f"zf-{mark}-b", second)
    with ExitStack() as stack:
        for host in hosts:
            _ip("netns", "add", host.name)
            stack.callback(_ip, "netns", "delete", host.name)
        ends = f"v{mark}a", f"v{mark}b"
        _ip("link", "add", ends[0], "netns", hosts[0].name, "type", "veth", "peer", ends[1], "netns", hosts[1].name)
        for host, end in zip(hosts, ends, strict=True):
            _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", end)
            _ip("-n", host.name, "link", "set", end, "up")
            _ip("-n", host.name, "link", "set", "lo", "up")
        yield hosts


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
