"""The authority on the controller's host. The certificate library is imported when there is something to sign."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from zeekfleet.errors import PkiError
from zeekfleet.model.names import AUTHORITY, AUTHORITY_KEY
from zeekfleet.security.identity import Identity


class LocalSigner:
    """Signs with the key in the authority's directory. Each call runs in a thread.

    Args:
        directory: the authority's directory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def authority(self) -> str:
        """The authority's certificate, as PEM.

        Raises:
            PkiError: it cannot be read.
        """
        return await asyncio.to_thread(self._authority)

    async def join(
        self, name: str, secret: str, request: str, address: str, is_taken: Callable[[], bool]
    ) -> tuple[str, str]:
        """As in :class:`~zeekfleet.controller.certificates.Signer`."""
        return await asyncio.to_thread(self._join, name, secret, request, address, is_taken)

    async def renew(self, owner: Identity, certificate: str) -> str:
        """As in :class:`~zeekfleet.controller.certificates.Signer`."""
        return await asyncio.to_thread(self._renew, owner, certificate)

    def _authority(self) -> str:
        from zeekfleet.pki import reading  # noqa: PLC0415
        from zeekfleet.pki.directory import PkiDirectory  # noqa: PLC0415

        return reading.certificate_pem(PkiDirectory(self._directory).certificate)

    def _join(
        self, name: str, secret: str, request: str, address: str, is_taken: Callable[[], bool]
    ) -> tuple[str, str]:
        from zeekfleet.pki.directory import PkiDirectory, read_file  # noqa: PLC0415
        from zeekfleet.pki.tokens import Tokens  # noqa: PLC0415

        pki = PkiDirectory(self._directory)
        issued = Tokens(pki).redeem(name, secret, request, address, is_taken)
        return issued.certificate, read_file(pki.revocation_list).decode("ascii")

    def _renew(self, owner: Identity, certificate: str) -> str:
        from zeekfleet.pki import reading  # noqa: PLC0415
        from zeekfleet.pki.directory import PkiDirectory  # noqa: PLC0415

        present = reading.read_certificate(certificate.encode(), "the request")
        if reading.identity_of(present) != owner:
            raise PkiError(f"the certificate is not that of {owner}")
        return PkiDirectory(self._directory).renew(present).certificate


def signer_of(directory: Path) -> LocalSigner | None:
    """The signer for the authority in a directory; None if there is no authority, or its key is elsewhere."""
    return LocalSigner(directory) if all((directory / name).exists() for name in (AUTHORITY, AUTHORITY_KEY)) else None
