"""The directory of an authority: its certificate and key, what it has issued, and the list of what it has revoked.

    ca.pem, ca.key      the authority
    crl.pem             the list of revoked certificates
    issued/SERIAL.json  a record of each certificate
    tokens/             tokens by which agents join (``tokens``)
    certificates/       certificates and keys that were written nowhere else

Calls wait for the disk, and for other processes that use the directory. So daemons make them in a thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from zeekfleet.errors import PkiError
from zeekfleet.model.names import AUTHORITY, AUTHORITY_KEY, CERTIFICATES, REVOKED, name_problem
from zeekfleet.pki import building, reading
from zeekfleet.pki.building import Authority
from zeekfleet.pki.hosts import LOOPBACK_RANGES
from zeekfleet.pki.records import AUTHORITY_DAYS, DAYS, LIFE, Issued
from zeekfleet.security.certificates import Validity, list_number
from zeekfleet.security.identity import Identity
from zeekfleet.system.exposure import directory_problem, private_directory_problem, private_file_problem
from zeekfleet.system.files import create_private, make_private_directory, open_own, sync_directory, write_private

RECORDS: Final = "issued"
TOKENS: Final = "tokens"
LOCK: Final = "lock"

KEPT: Final = 365 * 86400.0
"""Seconds for which the record of a certificate is kept after the certificate's end."""

LISTED: Final = 7 * 86400.0
"""Seconds for which a revoked certificate is listed after its end, for hosts whose clocks are slow."""

LARGEST: Final = 2**20
"""The most bytes of a file that is read."""


class PkiDirectory:
    """An authority's directory, accessible for our user only.

    Args:
        path: the directory.
        clock: seconds since 1970.

    Raises:
        PkiError: there is no authority in it, or another user could read or change it.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        with sentences():
            try:
                (path / AUTHORITY).lstat()
            except (FileNotFoundError, NotADirectoryError):
                raise PkiError(f"there is no authority in {path}: make one with 'zeekfleet pki init'") from None
        for each in (path, path / RECORDS):
            _check_directory(each)
        where = str(path / AUTHORITY)
        self.certificate = reading.read_certificate(read_file(path / AUTHORITY), where)
        if not reading.is_authority(self.certificate):
            raise PkiError(f"{where} is not the certificate of an authority: it may not sign others")

    @classmethod
    def create(
        cls,
        path: Path,
        days: int = AUTHORITY_DAYS,
        permitted: Sequence[str] = (),
        *,
        replace: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> PkiDirectory:
        """Make an authority in a directory. If the directory is missing, it is made, too.

        Args:
            path: the directory.
            days: how long the authority is valid.
            permitted: canonical domains and networks of the hosts that it may vouch for; this host is always one of
                them. Without any, it may vouch for all hosts.
            replace: whether to move an existing authority into a subdirectory ``former-TIME``.
            clock: the time, in seconds since 1970.

        Raises:
            PkiError: there is an authority already, or the directory cannot be used.
        """
        with sentences():
            make_private_directory(path)
            _check_directory(path)
            with locked(path):
                there = [name for name in (AUTHORITY, AUTHORITY_KEY, REVOKED, RECORDS) if os.path.lexists(path / name)]
                if there and not replace:
                    raise PkiError(
                        f"{path / there[0]} is there already: with --force, a new authority is made, and no certificate"
                        " of the former one counts any more where the new one is used"
                    )
                if there:
                    _set_aside(path, clock())
                (path / RECORDS).mkdir(mode=0o700)
                ranges = tuple(dict.fromkeys((*permitted, *LOOPBACK_RANGES))) if permitted else ()
                authority = building.make_authority(building.make_key(), _moment(clock()), days, ranges)
                create_private(path / AUTHORITY_KEY, reading.key_pem(authority.key).encode())
                revoked = building.make_revocation_list(authority, (), _moment(clock()))
                create_private(path / REVOKED, reading.list_pem(revoked).encode())
                # With this file, the authority is there.
                create_private(path / AUTHORITY, reading.certificate_pem(authority.certificate).encode())
                sync_directory(path)
        return cls(path, clock)

    @property
    def validity(self) -> Validity:
        """When the authority is valid."""
        begin, end = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        return Validity(f"authority {self.path / AUTHORITY}", begin.timestamp(), end.timestamp())

    @property
    def certificates(self) -> Path:
        """Where certificates and keys are written unless another directory is given."""
        return self.path / CERTIFICATES

    @property
    def revocation_list(self) -> Path:
        """The file with the list of revoked certificates."""
        return self.path / REVOKED

    def check(self, identity: Identity, hosts: Iterable[str]) -> Authority:
        """Check that a certificate can be issued.

        Args:
            identity: its owner.
            hosts: canonical names and addresses by which its owner is reached.

        Raises:
            PkiError: the name or a host is not allowed, the authority is not valid now, or its key cannot be used.
        """
        if problem := name_problem(identity.name):
            raise PkiError(f"the name '{identity.name[:80]}' {problem}")
        for host in hosts:
            if problem := reading.host_problem(self.certificate, host):
                raise PkiError(problem)
        if problem := self.validity.problem(self._clock()):
            raise PkiError(f"{problem}: it can issue nothing")
        return self._authority()

    def issue(
        self, identity: Identity, hosts: Iterable[str], public_key: ec.EllipticCurvePublicKey, days: float = DAYS
    ) -> Issued:
        """Issue a certificate, and keep a record of it. Earlier ones of this owner stay valid.

        Args:
            identity: its owner.
            hosts: canonical names and addresses by which its owner is reached.
            public_key: its owner's.
            days: how long it is valid; it ends with the authority at the latest.

        Raises:
            PkiError: the name or a host is not allowed, the authority is not valid now, or a file cannot be used.
        """
        names = tuple(dict.fromkeys(hosts))
        authority = self.check(identity, names)
        with self._at_work():
            return self._issue(authority, identity, names, public_key, timedelta(days=days))

    def renew(self, certificate: x509.Certificate, days: float | None = None) -> Issued:
        """Issue a certificate for the same owner, hosts and key as another, which stays valid.

        Args:
            certificate: the other; it may have expired.
            days: how long the new one is valid; None: as long as the other.

        Raises:
            PkiError: the other is of another authority, has no owner, or was revoked; or as for :meth:`issue`.
        """
        serial, identity = reading.serial_of(certificate), reading.identity_of(certificate)
        if identity is None or not reading.is_issued_by(certificate, self.certificate):
            raise PkiError(f"certificate {serial} was not issued by the authority in {self.path}")
        is_recorded = any(record.serial == serial and record.revoked is not None for record in self.issued())
        if is_recorded or certificate.serial_number in self._revoked():
            raise PkiError(f"certificate {serial} of {identity} was revoked: issue another with a new key")
        if days is None:
            life = certificate.not_valid_after_utc - certificate.not_valid_before_utc - building.BACKDATED
            days = max(life / timedelta(days=1), LIFE.least)
        return self.issue(identity, reading.hosts_of(certificate), reading.public_key_of(certificate), days)

    def revoke(self, records: Iterable[Issued]) -> list[Issued]:
        """Revoke certificates, and write the list of revoked ones.

        Returns:
            Their records as they are now. The dates of earlier revocations are kept.

        Raises:
            PkiError: the authority has expired, and so have all its certificates; or a file cannot be used.
        """
        if self._clock() > self.validity.end:
            raise PkiError(f"{self.validity.problem(self._clock())}, and with it all its certificates")
        authority = self._authority()
        with self._at_work():
            now = self._clock()
            present = {record.serial: record for record in self.issued()}
            done = []
            for given in records:
                record = present.get(given.serial, given)
                if record.revoked is None:
                    record = msgspec.structs.replace(record, revoked=now)
                    self._keep(record)
                done.append(record)
            sync_directory(self.path / RECORDS)
            self._write_list(authority, now)
        return done

    def issued(self) -> list[Issued]:
        """The records of all certificates, sorted by owner and time.

        Raises:
            PkiError: a record cannot be read.
        """
        with sentences():
            files = sorted((self.path / RECORDS).glob("*.json"))
        records = []
        for file in files:
            try:
                records.append(msgspec.json.decode(read_file(file), type=Issued))
            except msgspec.MsgspecError as error:
                raise PkiError(f"{file} is no record of a certificate ({error}): move it away") from None
        return sorted(records, key=lambda record: (record.identity, record.made))

    def _issue(
        self,
        authority: Authority,
        identity: Identity,
        hosts: tuple[str, ...],
        public_key: ec.EllipticCurvePublicKey,
        life: timedelta,
    ) -> Issued:
        now = self._clock()
        certificate = building.make_certificate(authority, identity, hosts, public_key, _moment(now), life)
        record = Issued(
            serial=reading.serial_of(certificate),
            role=identity.role,
            name=identity.name,
            hosts=hosts,
            made=now,
            begin=certificate.not_valid_before_utc.timestamp(),
            end=certificate.not_valid_after_utc.timestamp(),
            certificate=reading.certificate_pem(certificate),
        )
        self._forget(authority, now)
        self._keep(record)
        sync_directory(self.path / RECORDS)
        return record

    def _forget(self, authority: Authority, now: float) -> None:
        """Remove the records of certificates that ended long ago."""
        old = [record for record in self.issued() if record.end < now - KEPT]
        if any(record.revoked is not None for record in old):
            self._write_list(authority, now)  # without them, which it can tell by their records only
        for record in old:
            self._record_file(record).unlink(missing_ok=True)

    def _write_list(self, authority: Authority, now: float) -> None:
        """Write the list of revoked certificates. Those that have expired are refused without it.

        Numbers in the present list are kept, even if their records were lost.
        """
        records = {int(record.serial, 16): record for record in self.issued()}
        numbers = {number: since for number, since in self._revoked().items() if number not in records}
        for number, record in records.items():
            if record.revoked is not None and record.end > now - LISTED:
                numbers[number] = _moment(record.revoked)
        revocation_list = building.make_revocation_list(
            authority, sorted(numbers.items()), _moment(now), self._list_number()
        )
        write_private(self.path / REVOKED, reading.list_pem(revocation_list).encode())
        sync_directory(self.path)

    def _authority(self) -> Authority:
        file = self.path / AUTHORITY_KEY
        with sentences():
            content = read_file(file)
            if problem := private_file_problem(file):
                raise PkiError(problem)
        key = reading.read_key(content, str(file))
        authority = Authority(self.certificate, key)
        reading.check_authority(authority, str(self.path / AUTHORITY), str(file))
        return authority

    def _revoked(self) -> dict[int, datetime]:
        """The entries of the list of revoked certificates, even those without a record; none if it cannot be read."""
        try:
            revoked = x509.load_pem_x509_crl(read_file(self.path / REVOKED))
            if not revoked.is_signature_valid(self.certificate.public_key()):  # type: ignore[arg-type]
                return {}
        except (PkiError, *reading.UNREADABLE):
            return {}
        return {entry.serial_number: entry.revocation_date_utc for entry in revoked}

    def _list_number(self) -> int:
        try:
            return list_number(read_file(self.path / REVOKED))
        except (PkiError, ValueError):
            return 0

    def _keep(self, record: Issued) -> None:
        write_private(self._record_file(record), msgspec.json.format(msgspec.json.encode(record)) + b"\n")

    def _record_file(self, record: Issued) -> Path:
        return self.path / RECORDS / f"{record.serial}.json"

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        with sentences(), locked(self.path):
            yield


def read_file(file: Path) -> bytes:
    """A file's content. Symbolic links are not followed.

    Raises:
        PkiError: it cannot be read, or is not a plain file.
    """
    with sentences():
        descriptor = open_own(file, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise PkiError(f"{file} is no plain file")
            content = stream.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise PkiError(f"{file} is larger than {LARGEST} bytes")
    return content


def _check_directory(path: Path) -> None:
    with sentences():
        if path.is_symlink():
            raise PkiError(f"{path} is a symbolic link: expected a directory")
        if problem := private_directory_problem(path) or directory_problem(path.absolute().parent):
            raise PkiError(problem)


def _set_aside(path: Path, now: float) -> None:
    former = path / f"former-{_moment(now):%Y%m%dT%H%M%S.%fZ}"
    former.mkdir(mode=0o700)
    # First the certificate: without it, there is no authority in the directory.
    for name in (AUTHORITY, AUTHORITY_KEY, REVOKED, RECORDS, CERTIFICATES, TOKENS):
        if os.path.lexists(path / name):
            (path / name).rename(former / name)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait until no other process uses the directory, and lock it while the context lasts.

    The wait is short: others only write a few small files. The kernel releases the lock of a process that ends.
    """
    lock = open_own(path / LOCK, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def sentences() -> Iterator[None]:
    """Turn errors of the system into ours."""
    try:
        yield
    except OSError as error:
        raise PkiError(f"{error.filename or 'the directory'} cannot be used: {error.strerror or error}") from None


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
