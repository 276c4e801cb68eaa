"""TLS for clients' connections, as zeek-client's ``[ssl]`` settings expect it."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time

from zeekfleet.errors import SettingsError, TlsFileError
from zeekfleet.security.certificates import Validity, validity_of_file
from zeekfleet.settings import ControllerSettings
from zeekfleet.transport import tls
from zeekfleet.transport.tls import TlsFiles

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
        SettingsError: a file cannot be used, or others can read the private key.
    """
    if not settings.tls_certificate:
        for key in ("tls_key", "tls_ca"):
            if getattr(settings, key):
                raise SettingsError(f"controller.{key}", "needs controller.tls_certificate, too")
        return None
    files = TlsFiles(settings.tls_certificate, settings.tls_key, settings.tls_ca)
    try:
        context = tls.server_context(files, ServerContext)
        context.watch = CertificateWatch(validity_of_file(files.certificate))
    except TlsFileError as error:
        raise SettingsError(_SETTINGS[error.kind], str(error)) from None
    except ValueError as error:
        raise SettingsError(_SETTINGS["certificate"], f"{files.certificate} cannot be used: {error}") from None
    return context


_SETTINGS = {
    "certificate": "controller.tls_certificate",
    "key": "controller.tls_key",
    "authorities": "controller.tls_ca",
}
"""The setting that names each kind of file."""
