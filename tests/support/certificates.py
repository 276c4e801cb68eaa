"""Certificates and keys in files that only we can read: of trustme, and of our own authority."""

from __future__ import annotations

from pathlib import Path

import trustme

from zeekfleet.pki import building, reading
from zeekfleet.pki.directory import PkiDirectory
from zeekfleet.pki.handout import Handout
from zeekfleet.pki.records import DAYS
from zeekfleet.security.identity import parse_identity
from zeekfleet.transport.tls import TlsFiles


def write(blob: trustme.Blob, file: Path) -> None:
    """Write a certificate or a key. One that others can read is refused."""
    file.touch(mode=0o600)
    file.write_bytes(blob.bytes())


def issue(
    pki: PkiDirectory, owner: str, *hosts: str, days: float = DAYS, passphrase: str = "", revoked: bool = True
) -> TlsFiles:
    """The files of a new certificate.

    Args:
        pki: the authority.
        owner: such as ``agent/a1``.
        hosts: its names and addresses.
        days: how long it is valid.
        passphrase: opens its key.
        revoked: whether the list of revoked certificates is among the files.
    """
    identity = parse_identity(owner)
    assert identity is not None
    handout = Handout(pki.certificates, identity)
    handout.prepare(reading.certificate_pem(pki.certificate), replace=True)
    key = building.make_key()
    issued = pki.issue(identity, hosts, key.public_key(), days)
    handout.write_key(reading.key_pem(key, passphrase), replace=True)
    handout.write_certificate(issued)
    return TlsFiles(
        str(handout.certificate), str(handout.key), str(handout.authority), str(pki.revocation_list) if revoked else ""
    )
