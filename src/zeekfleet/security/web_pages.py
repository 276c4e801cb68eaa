"""Telling a browser's request, made for a web page of somebody else, from a client's.

A browser says in ``Origin`` whose page it acts for, and in ``Host`` by which
name it came. A page of another site has another ``Origin``. One whose name was
made to lead to this host (DNS rebinding) has its own name in both. So the two
must be the same, and a name of this host: an address cannot be anybody else's.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import msgspec

HOSTS_FILE = Path("/etc/hosts")
DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class OwnNames(msgspec.Struct, frozen=True):
    """The names by which this host may be called, in small letters."""

    names: frozenset[str]

    def problem(self, hosts: Sequence[str], origins: Sequence[str], *, local: bool) -> str | None:
        """What is wrong with an upgrade's ``Host`` and ``Origin``; None if nothing is.

        Args:
            hosts: values of ``Host``.
            origins: values of ``Origin``; only browsers, and clients that act like one, have any.
            local: whether the peer is on this host. By what names others know it we cannot tell; without an
                ``Origin`` they are no browsers, whatever they call us.
        """
        for host in hosts if local or origins else ():
            if not self._is_ours(_name_and_port(f"//{host}")[0]):
                return f"'{_shown(host)}' is no name of this host"
        for origin in origins:
            name, port = _name_and_port(origin)
            scheme = origin.partition(":")[0].lower()
            same = any(
                (name, port) == _name_and_port(f"{scheme}://{host}", DEFAULT_PORTS.get(scheme)) for host in hosts
            )
            if not name or not same:
                return f"the web page '{_shown(origin)}' is not ours"
        return None

    def _is_ours(self, name: str) -> bool:
        return name in self.names or _is_address(name)


def own_names(given: Iterable[str] = (), hosts_file: Path = HOSTS_FILE) -> OwnNames:
    """The names of this host: ``localhost``, its own, those of loopback in the hosts file, and those given."""
    own = socket.gethostname().lower()
    names = {"localhost", own, own.partition(".")[0], *(name.lower() for name in given)}
    try:
        lines = hosts_file.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        address, *others = line.partition("#")[0].split() or [""]
        if is_loopback(address) or own in (name.lower() for name in others):
            names.update(name.lower() for name in others)
    return OwnNames(frozenset(names - {""}))


def is_loopback(address: str) -> bool:
    """Whether this is an address, and one that never leaves the host."""
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def _name_and_port(url: str, default: int | None = None) -> tuple[str, int | None]:
    """Host name, in small letters and without a final dot, and port; ``("", None)`` for what has none."""
    try:
        parts: SplitResult = urlsplit(url)
        port = parts.port
    except ValueError:
        return "", None
    name = (parts.hostname or "").removesuffix(".")
    return name, port or default or DEFAULT_PORTS.get(parts.scheme)


def _shown(text: str) -> str:
    """What a peer sent, fit for a line of a log."""
    return ascii(text[:200])[1:-1]
