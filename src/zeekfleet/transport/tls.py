"""Contexts for TLS in which both sides show a certificate, made from files and made anew when the files change.

Nothing older than TLS 1.2 is spoken, nothing is compressed and nothing negotiated again. Only certificates of the given
authorities count, those of the system do not. No session tickets are handed out: with one, a peer could come back
without showing its certificate, which may have been revoked meanwhile.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Literal, TypeVar

import msgspec

from zeekfleet.errors import TlsFileError
from zeekfleet.security.identity import Identity, identity_of_peer
from zeekfleet.system.exposure import private_file_problem

NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
"""The reasons of OpenSSL's errors where the other side has answered without TLS."""

NO_TLS_THERE = "no TLS is spoken there"

C = TypeVar("C", bound=ssl.SSLContext)

FileKind = Literal["certificate", "key", "authorities", "revoked"]


class TlsFiles(msgspec.Struct, frozen=True):
    """Paths of PEM files, ``""`` for none.

    Attributes:
        certificate: our own.
        key: its private key; it may also be in the certificate's file.
        authorities: the certificates of those who may sign for peers.
        revoked: their lists of revoked certificates, one for each authority.
    """

    certificate: str = ""
    key: str = ""
    authorities: str = ""
    revoked: str = ""


def server_context(files: TlsFiles, kind: type[C] = ssl.SSLContext) -> C:  # type: ignore[assignment]
    """A context for listening.

    Args:
        files: with a certificate of our own. If there are authorities, peers need a certificate of one of them.
        kind: the class to make.

    Raises:
        TlsFileError: a file cannot be used, or others can read the private key.
    """
    context = plain_context(kind, ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    load_own(context, files)
    if files.authorities:
        load_authorities(context, files)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(files: TlsFiles, *, check_host: bool = True) -> ssl.SSLContext:
    """A context for connecting.

    Args:
        files: with the authorities of the peers; without a certificate of our own we stay unknown.
        check_host: whether the peer's certificate must have the name or address that we connect to. Without this, the
            caller has to look at the peer's identity, else every certificate of the authorities would do.

    Raises:
        TlsFileError: a file cannot be used, or others can read the private key.
    """
    context = plain_context(ssl.SSLContext, ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = check_host
    if files.certificate:
        load_own(context, files)
    load_authorities(context, files)
    return context


class CurrentContext(Generic[C]):
    """The context for the next handshake. Connections that there are keep theirs.

    A context is never changed: a list of revoked certificates that is added to one does not surely replace the former.

    Args:
        make: makes a context from the files as they are now.

    Attributes:
        context: the latest one that could be made.

    Raises:
        ZeekfleetError: what ``make`` raises.
    """

    def __init__(self, make: Callable[[], C]) -> None:
        self._make = make
        self.context = make()

    def reload(self) -> None:
        """Read the files again.

        Raises:
            ZeekfleetError: what ``make`` raises, such as for a new certificate whose key is still the former one. The
                former context stays.
        """
        self.context = self._make()


def load_own(context: ssl.SSLContext, files: TlsFiles, passphrase: str = "") -> None:
    """Load our own certificate with its private key.

    Args:
        context: gets them.
        files: of these, ``certificate`` and ``key`` are read.
        passphrase: opens the key, if it is encrypted. OpenSSL never asks for one on the terminal.

    Raises:
        TlsFileError: a file cannot be used, the passphrase is wrong, or others can read the private key.
    """
    _check_readable("certificate", files.certificate)
    kind: FileKind = "key" if files.key else "certificate"
    key = files.key or files.certificate
    _check_readable(kind, key)
    if problem := private_file_problem(Path(key)):
        raise TlsFileError(kind, key, problem)
    asked = False

    def tell_passphrase() -> str:
        nonlocal asked
        asked = True
        if not passphrase:
            raise TlsFileError(kind, key, f"{key} is encrypted, and there is no passphrase for it")
        return passphrase

    try:
        context.load_cert_chain(files.certificate, files.key or None, tell_passphrase)
    except (OSError, ValueError) as error:
        if asked:
            raise TlsFileError(kind, key, f"{key} cannot be opened with this passphrase") from None
        both = files.certificate + (f" with {files.key}" if files.key else "")
        raise TlsFileError("certificate", files.certificate, f"{both} cannot be used: {error}") from None


def load_authorities(context: ssl.SSLContext, files: TlsFiles) -> None:
    """Have peers' certificates verified, and those that were revoked refused.

    Args:
        context: gets them.
        files: of these, ``authorities`` and ``revoked`` are read.

    Raises:
        TlsFileError: a file cannot be used.
    """
    _load("authorities", files.authorities, context)
    if not context.cert_store_stats()["x509"]:
        raise TlsFileError("authorities", files.authorities, f"{files.authorities} holds no certificate")
    if files.revoked:
        _load("revoked", files.revoked, context)
        if not context.cert_store_stats()["crl"]:
            # Every peer would be refused.
            raise TlsFileError("revoked", files.revoked, f"{files.revoked} holds no list of revoked certificates")
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def _load(kind: FileKind, path: str, context: ssl.SSLContext) -> None:
    _check_readable(kind, path)
    try:
        context.load_verify_locations(path)
    except OSError as error:
        raise TlsFileError(kind, path, f"{path} cannot be used: {error}") from None


def try_out(files: TlsFiles) -> Identity | None:
    """Shake hands with ourselves: whether these files belong together, and are accepted by peers that have the same.

    Args:
        files: with a certificate of our own, which may be used on both sides, and authorities.

    Returns:
        the identity in the certificate.

    Raises:
        TlsFileError: a file cannot be used.
        ssl.SSLCertVerificationError: the certificate is not accepted.
        ssl.SSLError: there is another reason.
    """
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    listening: ssl.SSLObject = server_context(files).wrap_bio(ours, theirs, server_side=True)
    connecting = client_context(files, check_host=False).wrap_bio(theirs, ours)
    sides = [connecting, listening]
    while sides:
        for side in tuple(sides):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
                sides.remove(side)
    return identity_of_peer(listening.getpeercert())


def plain_context(kind: type[C], protocol: int) -> C:
    """A context without files that refuses what nobody should speak any more.

    Args:
        kind: the class to make.
        protocol: ``ssl.PROTOCOL_TLS_SERVER`` or ``ssl.PROTOCOL_TLS_CLIENT``.
    """
    context = kind(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def _check_readable(kind: FileKind, path: str) -> None:
    try:
        Path(path).open("rb").close()
    except OSError as error:
        raise TlsFileError(kind, path, f"{path} cannot be read: {error.strerror}") from None
