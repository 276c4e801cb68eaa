"""Addresses as people write them."""

from __future__ import annotations

import ipaddress
import re

_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")


def numeric_host_problem(host: str) -> str:
    """What is wrong with a host that looks like an IPv4 address; ``""`` if it is a valid one, or a host name.

    The system's resolver would accept ``127.1`` and ``0x7f000001``, and read ``010.0.0.1`` as octal.
    """
    if not _NUMBER.fullmatch(host.rpartition(".")[2]):
        return ""
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return f"an IPv4 address of four numbers from 0 to 255 without leading zeros, which '{host}' is not"
    return ""


def address_text(host: str, port: int) -> str:
    """``HOST:PORT`` for a person, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
