"""The token by which an agent joins a fleet: its text and its content. Pure.

    zft1.SECRET.FINGERPRINT.NAME

With the secret, an agent of this name can get one certificate. The fingerprint is the SHA-256 of the authority's
certificate: with it, the agent verifies the controller before it sends the secret. Both are in URL-safe base 64.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
import ssl
from typing import Final

import msgspec

from zeekfleet.errors import PkiError
from zeekfleet.model.names import name_problem
from zeekfleet.model.ranges import Range

PREFIX: Final = "zft1"
SECRET_BYTES: Final = 20

TTL: Final = 3600.0
"""The seconds for which a token is accepted, by default."""

LIFE: Final = Range(60, 30 * 86400)

LONGEST: Final = 256
"""The most characters of a token."""

_TOKEN = re.compile(rf"{PREFIX}\.([A-Za-z0-9_-]{{27}})\.([A-Za-z0-9_-]{{43}})\.(.+)", re.DOTALL)


class JoinToken(msgspec.Struct, frozen=True):
    """The content of a token.

    Attributes:
        name: the agent's name.
        secret: the secret, as it is in the token.
        fingerprint: the fingerprint of the authority, in 64 hexadecimal digits.
    """

    name: str
    secret: str
    fingerprint: str

    @property
    def text(self) -> str:
        """The token as text."""
        return ".".join((PREFIX, self.secret, _encoded(bytes.fromhex(self.fingerprint)), self.name))

    def __repr__(self) -> str:
        """Without the secret, since it may get into a log."""
        return f"JoinToken({self.name!r})"


def make_token(name: str, fingerprint: str) -> JoinToken:
    """A token with a new secret."""
    return JoinToken(name, _encoded(secrets.token_bytes(SECRET_BYTES)), fingerprint)


def parse_token(text: str) -> JoinToken:
    """Read a token; blanks around it do not matter.

    Raises:
        PkiError: it is not a token. The sentence does not repeat it, since it may contain a secret.
    """
    text = text.strip()
    found = _TOKEN.fullmatch(text) if len(text) <= LONGEST else None
    if found is None or name_problem(found[3]):
        raise PkiError(f"the token is not one of 'zeekfleet token create': expected {PREFIX}. and three further parts")
    try:
        fingerprint = base64.b64decode(found[2] + "=", altchars=b"-_", validate=True)
    except binascii.Error:
        fingerprint = b""
    token = JoinToken(found[3], found[1], fingerprint.hex())
    if token.text != text:  # there are two ways to write the last bits
        raise PkiError("the token is damaged: copy it once more")
    return token


def hashed(secret: str) -> str:
    """The form in which a secret is stored: its SHA-256. It is too long to be guessed, so this needs no salt."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def fingerprint_of(pem: str) -> str:
    """The SHA-256 of a certificate in PEM, in 64 hexadecimal digits.

    Raises:
        PkiError: it is not a certificate.
    """
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.strip())).hexdigest()
    except ValueError:
        raise PkiError("this is no certificate in PEM format") from None


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")
