"""Configurations and notifications as bytes: JSON, with a digest against silent damage."""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

import msgspec

from zeekfleet.model.types import Address

T = TypeVar("T")

DIGEST_SIZE = 16


def encode(record: msgspec.Struct) -> bytes:
    """The record as JSON."""
    return msgspec.json.encode(record, enc_hook=_encode_scalar)


def decode(document: bytes, kind: type[T]) -> T:
    """The record of that kind.

    Raises:
        ValueError: the document is not one.
    """
    try:
        return msgspec.json.decode(document, type=kind, dec_hook=_decode_scalar)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None


def digest(document: bytes) -> bytes:
    """What must stand beside a document that is stored."""
    return hashlib.blake2b(document, digest_size=DIGEST_SIZE).digest()


def _encode_scalar(value: Any) -> str:
    if isinstance(value, Address):
        return str(value)
    raise TypeError(f"no place for a {type(value).__name__} in a stored record")


def _decode_scalar(kind: type, value: Any) -> Any:
    if kind is Address and isinstance(value, str):
        return Address(value)
    raise ValueError(f"no {kind.__name__}")
