"""zeek-client's ``[ssl]`` settings as a TLS context.

Without a certificate of our own and without trusted certificates, the connection
is encrypted but the server's identity is not checked, and anonymous key exchange
is allowed: Broker's default. With either of them, the server's certificate and
name are verified.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import msgspec

from zeekfleet.errors import SettingsError, TlsFileError
from zeekfleet.security.certificates import validity, validity_of_file
from zeekfleet.transport import tls
from zeekfleet.transport.tls import TlsFiles

_ANONYMOUS = "AECDH-AES256-SHA:HIGH:!MD5:@SECLEVEL=0"
_AUTHENTICATED = "HIGH:!aNULL:!MD5"
_LOOK_TIMEOUT = 5.0
_NOT_VALID_NOW = frozenset({9, 10})
"""OpenSSL's codes for a certificate that is not valid yet, and one that has expired."""


class TlsSettings(msgspec.Struct, frozen=True):
    """Paths of PEM files (``capath``: an OpenSSL directory); ``""`` if not given.

    Attributes:
        certificate: our own certificate.
        keyfile: its private key; in the certificate's file if empty.
        cafile: trusted certificates.
        capath: a directory of trusted certificates.
        passphrase: opens the private key; never shown.
    """

    certificate: str = ""
    keyfile: str = ""
    cafile: str = ""
    capath: str = ""
    passphrase: str = ""

    def __repr__(self) -> str:
        return f"TlsSettings(certificate={self.certificate!r}, cafile={self.cafile!r}, capath={self.capath!r})"


class ClientContext(ssl.SSLContext):
    """A context that knows our own certificate's file, ``""`` if there is none."""

    certificate = ""


def own_problem(context: ssl.SSLContext | None) -> str | None:
    """Why our own certificate is not valid now, as a sentence; a peer that refuses it may not say so."""
    path = getattr(context, "certificate", "")
    try:
        return validity_of_file(path).problem() if path else None
    except (OSError, ValueError):
        return None


def peer_problem(error: BaseException, host: str, port: int) -> str | None:
    """Why the peer's certificate is not valid now, if that is why we refused it; else None.

    Args:
        error: the error with which a connection failed.
        host: the peer's address or name.
        port: the peer's port. The peer is asked for its certificate once more.
    """
    if not isinstance(error, ssl.SSLCertVerificationError) or error.verify_code not in _NOT_VALID_NOW:
        return None
    # If the peer's own certificate is valid, that of an intermediate authority is not.
    return _shown(host, port) or f"the certificate of {host}:{port}: {error.verify_message}"


def _shown(host: str, port: int) -> str | None:
    """Why the certificate that a peer shows is not valid now."""
    try:
        pem = ssl.get_server_certificate((host, port), timeout=_LOOK_TIMEOUT)
        return validity(pem.encode(), f"the certificate of {host}:{port}").problem()
    except (OSError, ValueError):
        return None


def client_context(settings: TlsSettings) -> ssl.SSLContext:
    """The context for connecting to a controller.

    Raises:
        SettingsError: a file is missing or does not hold what it should, or others can read the private key.
    """
    for key, path, there in (
        ("ssl.certificate", settings.certificate, Path.is_file),
        ("ssl.keyfile", settings.keyfile, Path.is_file),
        ("ssl.cafile", settings.cafile, Path.is_file),
        ("ssl.capath", settings.capath, Path.is_dir),
    ):
        if path and not there(Path(path)):
            raise SettingsError(key, f"{path} does not exist")
    context = tls.plain_context(ClientContext, ssl.PROTOCOL_TLS_CLIENT)
    context.certificate = settings.certificate
    if not (settings.certificate or settings.cafile or settings.capath):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_ciphers(_ANONYMOUS)
        return context
    context.set_ciphers(_AUTHENTICATED)
    files = TlsFiles(settings.certificate, settings.keyfile, settings.cafile)
    try:
        if settings.cafile:
            tls.load_authorities(context, files)
        if settings.capath:
            context.load_verify_locations(capath=settings.capath)
        elif not settings.cafile:
            context.load_default_certs()
        if settings.certificate:
            tls.load_own(context, files, settings.passphrase)
    except TlsFileError as error:
        raise SettingsError(_KEYS[error.kind], str(error)) from None
    return context


_KEYS = {"certificate": "ssl.certificate", "key": "ssl.keyfile", "authorities": "ssl.cafile"}
"""The setting that names each kind of file."""
