"""TLS for clients' connections, as zeek-client's ``[ssl]`` settings expect it."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from pathlib import Path

from zeekfleet.errors import SettingsError
from zeekfleet.settings import ControllerSettings
from zeekfleet.transport.certificates import Validity, validity_of_file

logger = logging.getLogger(__name__)

CHECK_INTERVAL = 60.0
"""Seconds between two checks of our certificate. They are regular because the clock may be set at any time."""

WARN_BEFORE = 14 * 86400.0
"""Seconds before the end of a certificate at which a warning is logged."""


class CertificateWatch:
    """Logs once when the certificate for clients expires soon, and once when it is not valid.

    Args:
        validity: the period in which the certificate is valid.
    """

    def __init__(self, validity: Validity) -> None:
        self._validity = validity
        self._told = ""

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            self.check()
            await asyncio.sleep(CHECK_INTERVAL)

    def check(self) -> None:
        """Check once."""
        now = time.time()
        if problem := self._validity.problem(now):
            self._tell(logging.ERROR, f"{problem}: clients that verify it do not connect")
        elif problem := self._validity.problem(now + WARN_BEFORE):
            self._tell(logging.WARNING, problem.replace(" has expired on ", " expires on "))
        else:
            self._told = ""

    def _tell(self, level: int, text: str) -> None:
        # Compare without what follows the comma: it may be the present time.
        kind = text.split(",", maxsplit=1)[0]
        if kind != self._told:
            self._told = kind
            logger.log(level, text)


class _Handshake(ssl.SSLObject):
    """Logs why a handshake failed. Asyncio does not."""

    def do_handshake(self) -> None:
        if isinstance(self.context, ServerContext):
            self.context.watch.check()
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLCertVerificationError as error:
            logger.warning(
                "refused a client because of its certificate: %s",
                error.verify_message,
                extra={"error": error.verify_message},
            )
            raise
        except ssl.SSLError as error:
            logger.info("a client's TLS handshake failed: %s", error.reason or error)
            raise


class ServerContext(ssl.SSLContext):
    """A context with the watch of its certificate."""

    watch: CertificateWatch
    sslobject_class = _Handshake


def server_context(settings: ControllerSettings) -> ServerContext | None:
    """The context for the clients' listener; None if it does without TLS.

    With ``tls_ca``, clients need a certificate that one of these authorities signed.

    Raises:
        SettingsError: a file cannot be used.
    """
    if not settings.tls_certificate:
        for key in ("tls_key", "tls_ca"):
            if getattr(settings, key):
                raise SettingsError(f"controller.{key}", "needs controller.tls_certificate, too")
        return None
    for key in ("tls_certificate", "tls_key", "tls_ca"):
        _check_readable(f"controller.{key}", getattr(settings, key))
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key or None, password=_no_passphrase)
        context.watch = CertificateWatch(validity_of_file(settings.tls_certificate))
    except (OSError, ssl.SSLError, ValueError) as error:
        files = settings.tls_certificate + (f" with {settings.tls_key}" if settings.tls_key else "")
        raise SettingsError("controller.tls_certificate", f"{files} cannot be used: {error}") from None
    if settings.tls_ca:
        try:
            context.load_verify_locations(settings.tls_ca)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError("controller.tls_ca", f"{settings.tls_ca} cannot be used: {error}") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _check_readable(key: str, path: str) -> None:
    try:
        if path:
            Path(path).open("rb").close()
    except OSError as error:
        raise SettingsError(key, f"{path} cannot be read: {error.strerror}") from None


def _no_passphrase() -> str:
    raise SettingsError("controller.tls_key", "is encrypted; a key without passphrase is needed")
