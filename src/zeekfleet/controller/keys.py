"""The CURVE keys of a cluster on several hosts: created once, kept in a file, and sent to agents only."""

from __future__ import annotations

from pathlib import Path

import msgspec

from zeekfleet.errors import StoreError
from zeekfleet.model.curve import CurveKeys
from zeekfleet.system.files import write_private

_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def z85(data: bytes) -> str:
    """Encode in ZeroMQ's base 85 (RFC 32); the data's length must be a multiple of four."""
    words = (int.from_bytes(data[place : place + 4], "big") for place in range(0, len(data), 4))
    return "".join(_Z85[word // 85**power % 85] for word in words for power in (4, 3, 2, 1, 0))


def make_keys() -> CurveKeys:
    """Create keys; CURVE keys are plain Curve25519 keys."""
    # Imported here because it is slow, and clusters on one host need no keys.
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # noqa: PLC0415

    server, client = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    return CurveKeys(
        server_public=z85(server.public_key().public_bytes_raw()),
        server_secret=z85(server.private_bytes_raw()),
        client_public=z85(client.public_key().public_bytes_raw()),
        client_secret=z85(client.private_bytes_raw()),
    )


class KeyFile:
    """The file in which a controller keeps the keys (mode 0600). Without it, the next deployment creates new ones.

    Args:
        path: the file, or None to keep the keys in memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._keys: CurveKeys | None = None

    def keys(self) -> CurveKeys:
        """The keys. New ones are on disk when this returns, before they are sent to anybody.

        Raises:
            StoreError: the file cannot be read or written.
        """
        if self._path is None:
            self._keys = self._keys or make_keys()
            return self._keys
        try:
            if not self._path.exists():
                write_private(self._path, msgspec.json.encode(make_keys()))
            return msgspec.json.decode(self._path.read_bytes(), type=CurveKeys)
        except (OSError, msgspec.MsgspecError) as error:
            raise StoreError(f"the cluster's keys in {self._path} cannot be used: {error}") from None
