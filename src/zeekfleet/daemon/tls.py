"""TLS for clients' connections, as zeek-client's ``[ssl]`` settings expect it."""

from __future__ import annotations

import ssl

from zeekfleet.errors import SettingsError
from zeekfleet.settings import ControllerSettings


def server_context(settings: ControllerSettings) -> ssl.SSLContext | None:
    """The context for the clients' listener, or None for plain text.

    With ``tls_ca``, clients need a certificate that one of those authorities signed.

    Raises:
        SettingsError: a file cannot be used.
    """
    if not settings.tls_certificate:
        for key in ("tls_key", "tls_ca"):
            if getattr(settings, key):
                raise SettingsError(f"controller.{key}", "needs controller.tls_certificate beside it")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key or None, password=_no_passphrase)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError("controller.tls_certificate", f"certificate or key cannot be used: {error}") from None
    if settings.tls_ca:
        try:
            context.load_verify_locations(settings.tls_ca)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError("controller.tls_ca", f"cannot be used: {error}") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _no_passphrase() -> str:
    raise SettingsError("controller.tls_key", "is encrypted; a key without passphrase is needed")
