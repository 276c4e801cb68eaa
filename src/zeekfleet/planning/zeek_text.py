"""Writes values as literals of Zeek's script language."""

from __future__ import annotations

from zeekfleet.model.types import Address

_QUOTE_AND_BACKSLASH = frozenset(b'"\\')


def zeek_string(text: str) -> str:
    """A Zeek string literal for exactly this text, in UTF-8.

    Everything except printable ASCII becomes an octal escape of three digits, the
    only form that no following character can change.
    """
    return '"' + "".join(_literal_byte(byte) for byte in text.encode("utf-8", "surrogateescape")) + '"'


def _literal_byte(byte: int) -> str:
    plain = 0x20 <= byte < 0x7F and byte not in _QUOTE_AND_BACKSLASH
    return chr(byte) if plain else f"\\{byte:03o}"


def zeek_address(address: Address) -> str:
    """A Zeek address literal, ``10.0.0.1`` or ``[fd00::1]``; a URI has the same form."""
    return f"[{address}]" if address.version == 6 else str(address)
