"""The keys of a cluster over several hosts: made once, kept for good, told to nobody but agents."""

from __future__ import annotations

from pathlib import Path

import msgspec

from zeekfleet.errors import StoreError
from zeekfleet.model.curve import CurveKeys
from zeekfleet.system.files import write_private

_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def z85(data: bytes) -> str:
    """ZeroMQ's base 85 (RFC 32); the length is a multiple of four."""
    words = (int.from_bytes(data[place : place + 4], "big") for place in range(0, len(data), 4))
    return "".join(_Z85[word // 85**power % 85] for word in words for power in (4, 3, 2, 1, 0))


def make_keys() -> CurveKeys:
    """Fresh ones: CURVE keys are plain Curve25519 keys."""
    # Clusters on one host, which need no keys, do not pay for this import.
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # noqa: PLC0415

    server, client = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    return CurveKeys(
        server_public=z85(server.public_key().public_bytes_raw()),
        server_secret=z85(server.private_bytes_raw()),
        client_public=z85(client.public_key().public_bytes_raw()),
        client_secret=z85(client.private_bytes_raw()),
    )


class KeyFile:
    """Where a controller keeps the keys, for its own eyes (mode 0600). Remove it, and the next deployment has others.

    Args:
        path: the file, or None to have keys that end with the process.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._keys: CurveKeys | None = None

    def keys(self) -> CurveKeys:
        """The keys; made, and on disk, before anybody hears of them.

        Raises:
            StoreError: they cannot be read or kept.
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
