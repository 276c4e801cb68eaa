"""Refuses requests that a browser makes on behalf of a web page of another site.

A browser sends the site of the page in ``Origin``, and the host name of the request in ``Host``. For a page of another
site, the two differ. For a site whose name was made to resolve to this host (DNS rebinding), they are the same, but are
not a name of this host. So the two must be the same, and be an address or a name of this host.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import msgspec

from zeekfleet.model.defaults import LOCALHOST
from zeekfleet.model.texts import shown

HOSTS_FILE = Path("/etc/hosts")
DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class OwnNames(msgspec.Struct, frozen=True):
    """The names of this host, in small letters."""

    names: frozenset[str]

    def problem(self, hosts: Sequence[str], origins: Sequence[str], *, local: bool) -> str | None:
        """What is wrong with an upgrade's ``Host`` and ``Origin``; None if nothing is.

        Args:
            hosts: values of ``Host``.
            origins: values of ``Origin``; only browsers, and clients that behave like one, send it.
            local: whether the peer is on this host. Other hosts may know this host by names that we do not know. So
                their ``Host`` is checked only if they send an ``Origin``; without one they are not browsers.
        """
        for host in hosts if local or origins else ():
            if not self._is_ours(_name_and_port(f"//{host}")[0]):
                return f"'{shown(host)}' is no name of this host"
        for origin in origins:
            name, port = _name_and_port(origin)
            scheme = origin.partition(":")[0].lower()
            same = any(
                (name, port) == _name_and_port(f"{scheme}://{host}", DEFAULT_PORTS.get(scheme)) for host in hosts
            )
            if not name or not same:
                return f"the web page '{shown(origin)}' is not ours"
        return None

    def _is_ours(self, name: str) -> bool:
        return name in self.names or _is_address(name)


def own_names(given: Iterable[str] = (), hosts_file: Path = HOSTS_FILE) -> OwnNames:
    """The names of this host: ``localhost``, its host name, those of loopback in the hosts file, and the given ones."""
    own = socket.gethostname().lower()
    names = {LOCALHOST, own, own.partition(".")[0], *(name.lower() for name in given)}
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
    """Whether this is a loopback address; False if it is not an address at all."""
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
    """Host name, in small letters and without a final dot, and port of a URL; ``("", None)`` if it cannot be parsed."""
    try:
        parts: SplitResult = urlsplit(url)
        port = parts.port
    except ValueError:
        return "", None
    name = (parts.hostname or "").removesuffix(".")
    return name, port or default or DEFAULT_PORTS.get(parts.scheme)
