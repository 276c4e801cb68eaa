"""Makes certificates, and lists of revoked ones, from keys, names and a time. Pure but for new keys and numbers.

All keys are on the curve P-256, which every TLS library of the last ten years knows.

The owner of a certificate has a role and a name in a URI (``security.identity``). No certificate has a common name,
because by old rules some programs accept it as the name of a host: then an agent could choose the name of the
controller's host.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from zeekfleet.pki.hosts import address_of, network_of
from zeekfleet.pki.records import AUTHORITY_DAYS
from zeekfleet.security.identity import CLIENT_ROLES, Identity

BACKDATED: Final = timedelta(minutes=5)
"""A certificate is valid from so long before it was made, for hosts whose clocks are slow."""

LIST_BACKDATED: Final = timedelta(days=1)
"""The same for a list of revoked certificates. Longer, because a peer for which the list is too new serves nobody."""


class Authority(msgspec.Struct, frozen=True):
    """A certificate that signs others, and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make_key() -> ec.EllipticCurvePrivateKey:
    """A new private key."""
    return ec.generate_private_key(ec.SECP256R1())


def make_authority(
    key: ec.EllipticCurvePrivateKey, now: datetime, days: int = AUTHORITY_DAYS, permitted: Sequence[str] = ()
) -> Authority:
    """An authority that may sign no further authorities.

    Args:
        key: the authority's key.
        now: the time, with a time zone.
        days: how long it is valid.
        permitted: domains and networks of the hosts that it may vouch for; if empty, all hosts.
    """
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    # Two authorities with the same name would be confused with each other.
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "zeekfleet"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"zeekfleet authority {key_id.digest[:4].hex()}"),
        ]
    )
    builder = _builder(name, name, key.public_key(), now, now + timedelta(days=days))
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(key_id, critical=False)
    )
    if permitted:
        subtrees = [_constraint(each) for each in permitted]
        builder = builder.add_extension(x509.NameConstraints(subtrees, None), critical=True)
    return Authority(builder.sign(key, hashes.SHA256()), key)


def make_certificate(
    authority: Authority,
    identity: Identity,
    hosts: Iterable[str],
    public_key: ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
) -> x509.Certificate:
    """A certificate, signed by the authority.

    Args:
        authority: signs it.
        identity: its owner. Agents and controllers may use it to listen and to connect, clients only to connect.
        hosts: canonical names and addresses by which its owner is reached.
        public_key: the owner's public key.
        now: the time, with a time zone.
        life: how long it is valid, but no longer than the authority.
    """
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "zeekfleet"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, identity.role),
            x509.NameAttribute(NameOID.USER_ID, identity.name),
        ]
    )
    issuer = authority.certificate
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if identity.role not in CLIENT_ROLES:
        uses.insert(0, ExtendedKeyUsageOID.SERVER_AUTH)
    alternatives = [x509.UniformResourceIdentifier(identity.uri), *map(_alternative, hosts)]
    builder = _builder(issuer.subject, name, public_key, now, min(now + life, issuer.not_valid_after_utc))
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(_issuer_key(authority), critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def make_revocation_list(
    authority: Authority, revoked: Iterable[tuple[int, datetime]], now: datetime, former: int = 0
) -> x509.CertificateRevocationList:
    """The list of revoked certificates. It is valid as long as the authority: nobody is locked out by an old list.

    Args:
        authority: signs it.
        revoked: serial numbers, and since when each is revoked.
        now: the time, with a time zone.
        former: the number of the former list. This one gets a greater number, even if the clock was set back.
    """
    issuer = authority.certificate
    builder = x509.CertificateRevocationListBuilder(
        issuer.subject, max(now - LIST_BACKDATED, issuer.not_valid_before_utc), issuer.not_valid_after_utc
    )
    for serial, since in revoked:
        entry = x509.RevokedCertificateBuilder(serial, since).build()
        builder = builder.add_revoked_certificate(entry)
    return (
        builder.add_extension(x509.CRLNumber(max(int(now.timestamp() * 1000), former + 1)), critical=False)
        .add_extension(_issuer_key(authority), critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def _builder(
    issuer: x509.Name, subject: x509.Name, public_key: ec.EllipticCurvePublicKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(end)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _issuer_key(authority: Authority) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())


def _alternative(host: str) -> x509.GeneralName:
    address = address_of(host)
    return x509.DNSName(host) if address is None else x509.IPAddress(address)


def _constraint(range_: str) -> x509.GeneralName:
    network = network_of(range_)
    return x509.DNSName(range_) if network is None else x509.IPAddress(network)
