"""Stored records as bytes: JSON, and a digest that tells when the disk has altered it."""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

import msgspec

from zeekfleet.model.types import Address

T = TypeVar("T")

DIGEST_SIZE = 16


def encode(record: msgspec.Struct) -> bytes:
    """The record as a JSON document."""
    return msgspec.json.encode(record, enc_hook=_encode_scalar)


def decode(document: bytes, kind: type[T]) -> T:
    """The record that a document holds.

    Raises:
        ValueError: the document is no record of that kind.
    """
    try:
        return msgspec.json.decode(document, type=kind, dec_hook=_decode_scalar)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None


def digest(document: bytes) -> bytes:
    """The digest to store beside a document, and to compare with when it is read."""
    return hashlib.blake2b(document, digest_size=DIGEST_SIZE).digest()


def _encode_scalar(value: Any) -> str:
    if isinstance(value, Address):
        return str(value)
    raise TypeError(f"a stored record cannot hold a {type(value).__name__}")


def _decode_scalar(kind: type, value: Any) -> Any:
    if kind is Address and isinstance(value, str):
        return Address(value)
    raise ValueError(f"no {kind.__name__}")
