"""Names and addresses of hosts in certificates, as canonical texts. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from zeekfleet.errors import PkiError
from zeekfleet.model.addresses import numeric_host_problem
from zeekfleet.model.defaults import LOCALHOST

LOOPBACK_RANGES = (LOCALHOST, "127.0.0.0/8", "::1/128")
"""Names and networks that mean this host and no other."""

LONGEST = 253
"""The most characters of a host name (RFC 1035)."""

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


def parse_host(text: str) -> str:
    """Read a host name, or an address with or without brackets.

    Raises:
        PkiError: it is neither. Names with wildcards are refused: a certificate is for one host.
    """
    if (address := _address(text)) is not None:
        return str(address)
    if numeric_host_problem(text) or not _NAME.fullmatch(text) or len(text) > LONGEST:
        raise PkiError(f"'{text[:LONGEST]}' is no name or address of a host: expected one such as sensor-1.example.org")
    return text.lower()


def parse_range(text: str) -> str:
    """Read a domain, which stands for all names below it, or a network, such as ``example.org`` or ``192.0.2.0/24``.

    Raises:
        PkiError: it is neither.
    """
    if (network := _network(text)) is not None:
        return str(network)
    try:
        return parse_host(text)
    except PkiError:
        raise PkiError(
            f"'{text[:LONGEST]}' is no domain or network: expected one such as example.org or 192.0.2.0/24"
        ) from None


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a canonical text stands for; None for a name."""
    return _address(host)


def network_of(range_: str) -> IPv4Network | IPv6Network | None:
    """The network that a canonical text stands for; None for a domain."""
    return _network(range_)


def is_within(host: str, ranges: Iterable[str]) -> bool:
    """Whether a host is in one of these domains and networks."""
    address = _address(host)
    for each in ranges:
        network = _network(each)
        if address is not None:
            if network is not None and address in network:
                return True
        elif network is None and (host == each or host.endswith(f".{each}")):
            return True
    return False


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.removeprefix("[").removesuffix("]") if text[:1] == "[" else text)
    except ValueError:
        return None
    # The scope of a link-local address is meaningful only on one host, so it must not be in a certificate.
    return None if isinstance(address, IPv6Address) and address.scope_id else address


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None
