"""zeek-client's ``[ssl]`` settings as a TLS context.

Without a certificate of our own and without trusted ones, the connection is
encrypted but the server's identity is not checked, anonymous key exchange
included: Broker's default mode. As soon as trusted certificates are named, or
we have one of our own, the server's certificate and name are verified.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import msgspec

from zeekfleet.errors import SettingsError

_ANONYMOUS = "AECDH-AES256-SHA:HIGH:!MD5:@SECLEVEL=0"
_AUTHENTICATED = "HIGH:!aNULL:!MD5"


class TlsSettings(msgspec.Struct, frozen=True):
    """Paths of PEM files (``capath``: an OpenSSL directory), ``""`` where not given.

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


def client_context(settings: TlsSettings) -> ssl.SSLContext:
    """The context for connecting to a controller.

    Raises:
        SettingsError: a file is missing, or does not hold what it should.
    """
    for key, path, there in (
        ("ssl.certificate", settings.certificate, Path.is_file),
        ("ssl.keyfile", settings.keyfile, Path.is_file),
        ("ssl.cafile", settings.cafile, Path.is_file),
        ("ssl.capath", settings.capath, Path.is_dir),
    ):
        if path and not there(Path(path)):
            raise SettingsError(key, f"{path} does not exist")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not (settings.certificate or settings.cafile or settings.capath):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_ciphers(_ANONYMOUS)
        return context
    context.set_ciphers(_AUTHENTICATED)
    if settings.cafile or settings.capath:
        try:
            context.load_verify_locations(settings.cafile or None, settings.capath or None)
        except (ssl.SSLError, OSError) as error:
            path = settings.cafile or settings.capath
            raise SettingsError("ssl.cafile", f"{path} holds no trusted certificates ({error})") from None
    else:
        context.load_default_certs()
    if settings.certificate:
        try:
            # A passphrase is always given, so that OpenSSL never asks on the terminal.
            context.load_cert_chain(settings.certificate, settings.keyfile or None, settings.passphrase)
        except (ssl.SSLError, OSError) as error:
            raise SettingsError("ssl.certificate", f"{settings.certificate} cannot be used ({error})") from None
    return context
