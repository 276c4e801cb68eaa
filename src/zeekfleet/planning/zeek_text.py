"""Values as they are written in a Zeek script or an endpoint's address."""

from __future__ import annotations

from zeekfleet.model.types import Address

_QUOTE_AND_BACKSLASH = frozenset(b'"\\')


def zeek_string(text: str) -> str:
    """A Zeek string literal that means exactly these bytes (UTF-8), whatever they are.

    Everything but printable ASCII becomes an octal escape of three digits, the
    one form that cannot run into the character after it.
    """
    return '"' + "".join(_literal_byte(byte) for byte in text.encode("utf-8", "surrogateescape")) + '"'


def _literal_byte(byte: int) -> str:
    plain = 0x20 <= byte < 0x7F and byte not in _QUOTE_AND_BACKSLASH
    return chr(byte) if plain else f"\\{byte:03o}"


def zeek_address(address: Address) -> str:
    """A Zeek address literal, which is how a URI writes it too: ``10.0.0.1``, ``[fd00::1]``."""
    return f"[{address}]" if address.version == 6 else str(address)
