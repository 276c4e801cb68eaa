"""Reads keys, certificates and requests for them. Pure."""

from __future__ import annotations

import re

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from zeekfleet.errors import PkiError
from zeekfleet.pki.building import Authority
from zeekfleet.pki.hosts import LOOPBACK_RANGES, is_within
from zeekfleet.security.identity import Identity, identity_of_uris

LONGEST_PASSPHRASE = 1023
"""The most bytes of a passphrase that OpenSSL accepts."""

UNREADABLE = (
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""The errors of the library for input that it cannot read or verify."""

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)


def certificate_pem(certificate: x509.Certificate) -> str:
    """A certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def list_pem(revoked: x509.CertificateRevocationList) -> str:
    """A list of revoked certificates as PEM."""
    return revoked.public_bytes(serialization.Encoding.PEM).decode("ascii")


def key_pem(key: ec.EllipticCurvePrivateKey, passphrase: str = "") -> str:
    """A private key as PEM, encrypted if there is a passphrase.

    Raises:
        PkiError: the passphrase is too long.
    """
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        secret = passphrase.encode()
        if len(secret) > LONGEST_PASSPHRASE:
            raise PkiError(f"the passphrase is too long: expected {LONGEST_PASSPHRASE} bytes at most")
        encryption = serialization.BestAvailableEncryption(secret)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    return pem.decode("ascii")


def read_certificate(pem: bytes, where: str) -> x509.Certificate:
    """The first certificate in PEM, beside which there may be other things.

    Args:
        pem: the document.
        where: what to call it, such as its path.

    Raises:
        PkiError: there is none, or it cannot be read.
    """
    block = _CERTIFICATE.search(pem)
    try:
        if block is not None:
            certificate = x509.load_pem_x509_certificate(block[0])
            # The library reads these only when they are used. Use them here, so that an error is raised here.
            if certificate.extensions and certificate.public_key() and certificate.serial_number > 0:
                return certificate
    except UNREADABLE:
        pass
    raise PkiError(f"{where} holds no certificate in PEM format that can be read")


def with_certificate(pem: bytes, certificate: bytes) -> bytes:
    """A PEM document with this certificate, in PEM, in place of its first one; all else in it stays."""
    return _CERTIFICATE.sub(lambda _: certificate, pem, count=1)


def read_key(pem: bytes, where: str) -> ec.EllipticCurvePrivateKey:
    """A private key of ours, which is not encrypted.

    Args:
        pem: the document.
        where: what to call it, such as its path.

    Raises:
        PkiError: it is encrypted, or no such key.
    """
    try:
        key = serialization.load_pem_private_key(pem, None)
    except TypeError:
        raise PkiError(f"{where} is encrypted: expected a private key without a passphrase") from None
    except UNREADABLE:
        key = None
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise PkiError(f"{where} holds no private key on the curve P-256 in PEM format")


def make_request(key: ec.EllipticCurvePrivateKey) -> str:
    """A request for a certificate, as PEM: a public key, and a proof that the sender has the private one."""
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode("ascii")


def public_key_of_request(pem: bytes) -> ec.EllipticCurvePublicKey:
    """The public key in a request for a certificate. Everything else in the request is ignored.

    Raises:
        PkiError: it is not a request, is not signed with the key's private key, or is for another kind of key.
    """
    try:
        request = x509.load_pem_x509_csr(pem)
        key = request.public_key()
        is_signed = request.is_signature_valid
    except UNREADABLE:
        raise PkiError("this is no request for a certificate in PEM format") from None
    if not is_signed:
        raise PkiError("the request for a certificate is not signed with the key that it is for")
    return _of_ours(key, "the request for a certificate")


def public_key_of(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """A certificate's public key.

    Raises:
        PkiError: it is of another kind than ours.
    """
    return _of_ours(certificate.public_key(), "the certificate")


def check_authority(authority: Authority, where: str, key_where: str) -> None:
    """Check that this certificate and this key can sign together.

    Args:
        authority: both.
        where: what to call the certificate.
        key_where: what to call the key.

    Raises:
        PkiError: they cannot.
    """
    if not is_authority(authority.certificate):
        raise PkiError(f"{where} is not the certificate of an authority: it may not sign others")
    if authority.certificate.public_key() != authority.key.public_key():
        raise PkiError(f"{key_where} is not the private key of {where}")


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether a certificate may sign others."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return constraints.ca and usage.key_cert_sign and usage.crl_sign


def is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether this authority has signed a certificate."""
    try:
        certificate.verify_directly_issued_by(authority)
    except UNREADABLE:
        return False
    return True


def identity_of(certificate: x509.Certificate) -> Identity | None:
    """The role and name in a certificate."""
    return identity_of_uris(_alternatives(certificate, x509.UniformResourceIdentifier))


def hosts_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The names and addresses of hosts in a certificate."""
    names = _alternatives(certificate, x509.DNSName)
    return (*names, *(str(address) for address in _alternatives(certificate, x509.IPAddress)))


def serial_of(certificate: x509.Certificate) -> str:
    """A certificate's serial number, as OpenSSL writes it."""
    return serial_text(certificate.serial_number)


def serial_text(number: int) -> str:
    """A serial number in hexadecimal, an even number of capital digits."""
    return number.to_bytes((number.bit_length() + 7) // 8 or 1).hex().upper()


def fingerprint(certificate: x509.Certificate) -> str:
    """The SHA-256 of a certificate, in 64 hexadecimal digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def permitted_of(authority: x509.Certificate) -> tuple[str, ...]:
    """The domains and networks of the hosts that an authority may vouch for; none if it may vouch for all."""
    try:
        constraints = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(each.value) for each in constraints.permitted_subtrees or ())


def host_problem(authority: x509.Certificate, host: str) -> str | None:
    """Why an authority may not vouch for a host, as a sentence; None if it may."""
    permitted = permitted_of(authority)
    if not permitted or is_within(host, permitted):
        return None
    allowed = ", ".join(each for each in permitted if each not in LOOPBACK_RANGES)
    return f"the authority may not vouch for the host {host}: it is made for {allowed}"


def _alternatives(certificate: x509.Certificate, kind: type[x509.GeneralName]) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [name.value for name in names if isinstance(name, kind)]


def _of_ours(key: object, what: str) -> ec.EllipticCurvePublicKey:
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise PkiError(f"{what} has a key of another kind than ours, which are on the curve P-256")
