"""Addresses as people write them."""

from __future__ import annotations

import ipaddress
import re

_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")


def numbers_problem(host: str) -> str:
    """Why a host is no address though it is made of numbers; empty if it is an address, or a name.

    The system itself reads ``010.0.0.1`` in octal numbers, and takes ``127.1`` and ``0x7f000001``, too.
    """
    if not _NUMBER.fullmatch(host.rpartition(".")[2]):
        return ""
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return f"an IPv4 address of four numbers from 0 to 255 without leading zeros, which '{host}' is not"
    return ""


def place(host: str, port: int) -> str:
    """Address and port as one text, for a person: an IPv6 address has its brackets."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
