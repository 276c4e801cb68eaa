"""Certificates of our own authority: what stands in them, and the directory that issues and revokes them."""

from __future__ import annotations

import fcntl
import os
import shutil
import ssl
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from support.certificates import issue
from zeekfleet.errors import PkiError
from zeekfleet.pki import building, directory, reading
from zeekfleet.pki.directory import PkiDirectory
from zeekfleet.pki.hosts import is_within, parse_host, parse_range
from zeekfleet.pki.records import Issued, find
from zeekfleet.security.identity import Identity, PeerRole

DAY = 86400.0
NOW = datetime(2030, 1, 1, tzinfo=UTC)
AGENT = Identity(PeerRole.AGENT, "a1")


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = NOW.timestamp()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pki(tmp_path: Path, clock: Clock) -> PkiDirectory:
    return PkiDirectory.create(tmp_path / "pki", clock=clock)


def add(pki: PkiDirectory, owner: Identity = AGENT, *hosts: str, days: float = 90) -> Issued:
    return pki.issue(owner, hosts, building.make_key().public_key(), days)


def certificate_of(record: Issued) -> x509.Certificate:
    return reading.read_certificate(record.certificate.encode(), "it")


def revoked_numbers(pki: PkiDirectory) -> set[str]:
    revoked = x509.load_pem_x509_crl(pki.revocation_list.read_bytes())
    assert revoked.is_signature_valid(pki.certificate.public_key())
    return {reading.serial_text(entry.serial_number) for entry in revoked}


# Hosts


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Sensor-1.Example.ORG", "sensor-1.example.org"),
        ("box", "box"),
        ("my_box", "my_box"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[::1]", "::1"),
    ],
)
def test_a_host(text: str, host: str) -> None:
    assert parse_host(text) == host
    assert parse_host(host) == host


@pytest.mark.parametrize(
    "text",
    ["", "*.example.org", "a..b", "-a", "a-", "a b", "127.1", "0x7f000001", "256.0.0.1", "a/b", "a\n", "é.example",
     "fe80::1%eth0", "[box]", "a" * 64, ".".join(["a"] * 128), "192.0.2.0/24", "zeekfleet:agent/a"],
)  # fmt: skip
def test_what_is_no_host(text: str) -> None:
    with pytest.raises(PkiError, match="is no name or address of a host: expected one such as"):
        parse_host(text)


@pytest.mark.parametrize(
    ("text", "range_"),
    [("Example.org", "example.org"), ("192.0.2.0/24", "192.0.2.0/24"), ("192.0.2.1", "192.0.2.1/32"),
     ("2001:DB8::/32", "2001:db8::/32")],
)  # fmt: skip
def test_a_range(text: str, range_: str) -> None:
    assert parse_range(text) == range_


@pytest.mark.parametrize("text", ["", "192.0.2.1/24", "192.0.2.0/33", "*.example.org", ".example.org"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(PkiError, match="is no domain or network: expected one such as"):
        parse_range(text)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("example.org", True), ("a.b.example.org", True), ("badexample.org", False), ("org", False), ("192.0.2.7", True),
     ("192.0.3.7", False), ("2001:db8::1", False)],
)  # fmt: skip
def test_a_host_within_a_range(host: str, expected: bool) -> None:
    assert is_within(host, ("example.org", "192.0.2.0/24")) == expected


# What stands in certificates


def test_an_authority() -> None:
    authority = building.make_authority(building.make_key(), NOW, 100).certificate
    assert authority.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert authority.not_valid_after_utc == NOW + timedelta(days=100)
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    usage = authority.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.crl_sign, usage.value.digital_signature) == (True, True, False)
    assert reading.permitted_of(authority) == ()
    other = building.make_authority(building.make_key(), NOW).certificate
    assert other.subject != authority.subject


@pytest.mark.parametrize("role", PeerRole)
def test_a_certificate(role: PeerRole) -> None:
    authority = building.make_authority(building.make_key(), NOW)
    owner, key, hosts = Identity(role, "x" * 64), building.make_key(), ("box.example", "192.0.2.1", "::1")
    made = building.make_certificate(authority, owner, hosts, key.public_key(), NOW, timedelta(days=7))
    assert reading.identity_of(made) == owner
    assert reading.hosts_of(made) == hosts
    assert reading.is_issued_by(made, authority.certificate)
    assert made.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert made.not_valid_after_utc == NOW + timedelta(days=7)
    assert made.serial_number.bit_length() > 100
    uses = set(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert ExtendedKeyUsageOID.CLIENT_AUTH in uses
    assert (ExtendedKeyUsageOID.SERVER_AUTH in uses) == (role in (PeerRole.AGENT, PeerRole.CONTROLLER))
    assert not reading.is_authority(made)
    assert made.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME) == []


def test_a_certificate_ends_with_its_authority() -> None:
    authority = building.make_authority(building.make_key(), NOW, 10)
    made = building.make_certificate(authority, AGENT, (), building.make_key().public_key(), NOW, timedelta(days=90))
    assert made.not_valid_after_utc == authority.certificate.not_valid_after_utc


def test_a_list_of_revoked_certificates_never_locks_anybody_out() -> None:
    authority = building.make_authority(building.make_key(), NOW)
    later = NOW + timedelta(days=30)
    revoked = building.make_revocation_list(authority, [(7, later)], later)
    assert revoked.last_update_utc == later - timedelta(days=1)
    assert revoked.next_update_utc == authority.certificate.not_valid_after_utc
    assert [entry.serial_number for entry in revoked] == [7]


@pytest.mark.parametrize(("number", "text"), [(0, "00"), (1, "01"), (255, "FF"), (256, "0100")])
def test_a_serial_number(number: int, text: str) -> None:
    assert reading.serial_text(number) == text


# Requests for certificates


def test_a_request_gives_a_key_and_nothing_else() -> None:
    key = building.make_key()
    assert reading.public_key_of_request(reading.make_request(key).encode()) == key.public_key()


def test_a_request_for_a_key_that_one_does_not_have() -> None:
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    der = builder.sign(building.make_key(), hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    for place in (-1, -10, len(der) // 2):
        forged = bytearray(der)
        forged[place] ^= 1
        pem = ssl.DER_cert_to_PEM_cert(bytes(forged)).replace("CERTIFICATE", "CERTIFICATE REQUEST")
        with pytest.raises(PkiError):
            reading.public_key_of_request(pem.encode())


def test_a_request_with_another_kind_of_key() -> None:
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    pem = builder.sign(ec.generate_private_key(ec.SECP384R1()), hashes.SHA256())
    with pytest.raises(PkiError, match="has a key of another kind than ours"):
        reading.public_key_of_request(pem.public_bytes(serialization.Encoding.PEM))


@pytest.mark.parametrize("pem", [b"", b"nothing", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"])
def test_what_is_no_request(pem: bytes) -> None:
    with pytest.raises(PkiError, match="is no request for a certificate"):
        reading.public_key_of_request(pem)


# The directory


def test_everything_is_for_us_alone(pki: PkiDirectory) -> None:
    issue(pki, "agent/a1")
    issue(pki, "admin/bob", passphrase="p")
    pki.revoke(find(pki.issued(), "bob"))
    found = [pki.path, *pki.path.rglob("*")]
    assert {path.name for path in found} >= {"ca.key", "ca.pem", "crl.pem", "issued", "certificates", "agent-a1.key"}
    for path in found:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    assert not [path for path in found if path.suffix == ".new"]


def test_an_authority_that_is_there_stays(pki: PkiDirectory, clock: Clock) -> None:
    former = pki.certificate
    issue(pki, "agent/a1")
    with pytest.raises(PkiError, match=r"ca.pem is there already: with --force"):
        PkiDirectory.create(pki.path, clock=clock)
    assert PkiDirectory(pki.path, clock).certificate == former
    other = PkiDirectory.create(pki.path, replace=True, clock=clock)
    assert other.certificate != former
    assert other.issued() == []
    aside = PkiDirectory(pki.path / "former-20300101T000000.000000Z", clock)
    assert aside.certificate == former
    assert [record.name for record in aside.issued()] == ["a1"]
    assert add(aside)


def test_an_authority_whose_making_was_cut_short(pki: PkiDirectory, clock: Clock) -> None:
    (pki.path / "ca.pem").unlink()
    with pytest.raises(PkiError, match=r"there is no authority in .*: make one with 'zeekfleet pki init'"):
        PkiDirectory(pki.path)
    with pytest.raises(PkiError, match=r"ca.key is there already"):
        PkiDirectory.create(pki.path, clock=clock)
    assert add(PkiDirectory.create(pki.path, replace=True, clock=clock))


def test_a_record_of_what_was_issued(pki: PkiDirectory, clock: Clock) -> None:
    record = add(pki, AGENT, "b.example", "192.0.2.1", "b.example", days=10)
    assert pki.issued() == [record]
    assert record.identity == AGENT
    assert record.hosts == ("b.example", "192.0.2.1")
    assert (record.made, record.begin, record.end) == (clock.now, clock.now - 300, clock.now + 10 * DAY)
    assert reading.serial_of(certificate_of(record)) == record.serial
    states = []
    for days in (-1, 1, 11):
        clock.now = NOW.timestamp() + days * DAY
        states.append(record.state(clock.now))
    assert states == ["not valid yet", "valid", "expired"]


def test_two_certificates_of_one_name(pki: PkiDirectory, clock: Clock) -> None:
    first = add(pki)
    clock.now += 1
    second = add(pki)
    assert first.serial != second.serial
    assert find(pki.issued(), "a1") == [first, second]
    assert [record.revoked for record in pki.issued()] == [None, None]


def test_names_that_are_not_allowed(pki: PkiDirectory) -> None:
    for name in ("", ".a", "-a", "a/b", "../a", "a" * 65, "instances", "ä"):
        with pytest.raises(PkiError, match="is not allowed"):
            add(pki, Identity(PeerRole.AGENT, name))
    assert pki.issued() == []


def test_a_certificate_is_renewed_with_its_key(pki: PkiDirectory, clock: Clock) -> None:
    first = add(pki, AGENT, "b.example", "::1", days=30)
    clock.now += 20 * DAY
    second = pki.renew(certificate_of(first))
    assert (second.identity, second.hosts, second.end) == (AGENT, ("b.example", "::1"), clock.now + 30 * DAY)
    assert certificate_of(second).public_key() == certificate_of(first).public_key()
    assert second.serial != first.serial
    clock.now += 40 * DAY
    assert pki.renew(certificate_of(second), days=2).end == clock.now + 2 * DAY
    assert len(pki.issued()) == 3


def test_what_is_not_renewed(pki: PkiDirectory, tmp_path: Path, clock: Clock) -> None:
    record = add(pki)
    pki.revoke([record])
    with pytest.raises(PkiError, match=f"certificate {record.serial} of agent/a1 was revoked: issue another"):
        pki.renew(certificate_of(record))
    other = PkiDirectory.create(tmp_path / "other", clock=clock)
    with pytest.raises(PkiError, match="was not issued by the authority in"):
        pki.renew(certificate_of(add(other)))
    with pytest.raises(PkiError, match="was not issued by the authority in"):
        pki.renew(pki.certificate)


def test_revoked_certificates_are_listed(pki: PkiDirectory, clock: Clock) -> None:
    first, second, third = add(pki), add(pki), add(pki, Identity(PeerRole.ADMIN, "bob"))
    assert revoked_numbers(pki) == set()
    pki.revoke([first])
    assert revoked_numbers(pki) == {first.serial}
    at = clock.now
    clock.now += DAY
    done = pki.revoke([first, third])
    assert [record.revoked for record in done] == [at, clock.now]
    assert revoked_numbers(pki) == {first.serial, third.serial}
    assert {record.serial: record.state(clock.now) for record in pki.issued()} == {
        first.serial: "revoked", second.serial: "valid", third.serial: "revoked"
    }  # fmt: skip


def test_what_is_listed_stays_listed_without_a_record(pki: PkiDirectory) -> None:
    first, second = add(pki), add(pki)
    pki.revoke([first])
    (pki.path / "issued" / f"{first.serial}.json").unlink()
    pki.revoke([second])
    assert revoked_numbers(pki) == {first.serial, second.serial}


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_list_that_is_damaged_is_written_again(pki: PkiDirectory, content: bytes | None) -> None:
    first, second = add(pki), add(pki)
    pki.revoke([first])
    pki.revocation_list.unlink()
    if content is not None:
        pki.revocation_list.write_bytes(content)
    pki.revoke([second])
    assert revoked_numbers(pki) == {first.serial, second.serial}


def test_lists_and_records_do_not_grow_for_ever(pki: PkiDirectory, clock: Clock) -> None:
    old, kept = add(pki, days=1), add(pki, days=3000)
    pki.revoke([old, kept])
    clock.now += 9 * DAY
    pki.revoke([kept])
    assert revoked_numbers(pki) == {kept.serial}
    late = add(pki, days=1)
    pki.revoke([late])
    clock.now += 300 * DAY
    add(pki)
    assert len(pki.issued()) == 4
    clock.now += 100 * DAY
    new = add(pki)
    assert {record.serial for record in pki.issued()} >= {kept.serial, new.serial}
    assert len(pki.issued()) == 3
    assert revoked_numbers(pki) == {kept.serial}


def test_what_another_process_revokes_meanwhile_stays_revoked(
    pki: PkiDirectory, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = add(pki), add(pki)
    real = directory.fcntl.flock

    def wait_for_other(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(directory.fcntl, "flock", real)
        PkiDirectory(pki.path, clock).revoke([second])
        real(descriptor, operation)

    monkeypatch.setattr(directory.fcntl, "flock", wait_for_other)
    pki.revoke([first])
    assert revoked_numbers(pki) == {first.serial, second.serial}


def test_one_process_at_a_time_is_at_work(pki: PkiDirectory) -> None:
    record = add(pki)
    with (pki.path / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread = threading.Thread(target=pki.revoke, args=([record],))
        thread.start()
        waiting = f":{os.fstat(lock.fileno()).st_ino} "
        while not any("-> FLOCK" in line and waiting in line for line in Path("/proc/locks").read_text().splitlines()):
            assert thread.is_alive()
        assert revoked_numbers(pki) == set()
    thread.join(60)
    assert revoked_numbers(pki) == {record.serial}


def test_what_a_text_means(pki: PkiDirectory) -> None:
    agent, admin = add(pki, Identity(PeerRole.AGENT, "x")), add(pki, Identity(PeerRole.ADMIN, "x"))
    records = pki.issued()
    assert find(records, "agent/x") == [agent]
    assert find(records, "admin/x") == [admin]
    assert find(records, agent.serial.lower()) == [agent]
    assert find(records, ":".join(agent.serial[at : at + 2] for at in range(0, len(agent.serial), 2))) == [agent]
    with pytest.raises(PkiError, match="'x' may mean admin/x or agent/x: say which"):
        find(records, "x")
    for text in ("y", "viewer/x", agent.serial[:-1], "", "agent/"):
        with pytest.raises(PkiError, match="no certificate of the name or serial number"):
            find(records, text)


def test_an_authority_out_of_time(pki: PkiDirectory, clock: Clock) -> None:
    record = add(pki)
    clock.now -= 10 * DAY
    pki.revoke([record])
    assert revoked_numbers(pki) == {record.serial}
    clock.now += 3661 * DAY
    with pytest.raises(PkiError, match=r"ca.pem has expired on 2039-12-30 .*, and with it all its certificates"):
        pki.revoke([record])
    with pytest.raises(PkiError, match=r"ca.pem has expired on 2039-12-30 .*: it can issue nothing"):
        add(pki)
    clock.now = NOW.timestamp() - DAY
    with pytest.raises(PkiError, match="is not valid before 2029-12-31 23:55:00 UTC, and it is 2029-12-31 00:00:00"):
        add(pki)


def test_what_is_no_authority(pki: PkiDirectory) -> None:
    files = issue(pki, "controller/c1")
    file = pki.path / "ca.pem"
    file.write_bytes(Path(files.certificate).read_bytes())
    with pytest.raises(PkiError, match=f"^{file} is not the certificate of an authority: it may not sign others$"):
        PkiDirectory(pki.path)
    file.write_bytes(b"nonsense")
    with pytest.raises(PkiError, match=f"^{file} holds no certificate in PEM format that can be read$"):
        PkiDirectory(pki.path)


def test_keys_that_cannot_sign(pki: PkiDirectory) -> None:
    key = pki.path / "ca.key"
    key.write_text(reading.key_pem(building.make_key()))
    with pytest.raises(PkiError, match=f"^{key} is not the private key of .*ca.pem$"):
        add(pki)
    key.write_text(reading.key_pem(building.make_key(), "secret"))
    with pytest.raises(PkiError, match=f"^{key} is encrypted: expected a private key without a passphrase$"):
        add(pki)
    for content in (b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"):
        key.write_bytes(content)
        with pytest.raises(PkiError, match=f"^{key} holds no private key on the curve P-256"):
            add(pki)
    key.unlink()
    with pytest.raises(PkiError, match=f"^{key} cannot be used: No such file or directory$"):
        add(pki)
    assert pki.issued() == []


def test_files_that_others_could_change(pki: PkiDirectory) -> None:
    (pki.path / "ca.key").chmod(0o640)
    with pytest.raises(PkiError, match=r"ca.key can be read by other users: run 'chmod 600 "):
        add(pki)
    pki.path.chmod(0o755)
    with pytest.raises(PkiError, match=f"directory {pki.path} can be read by other users: run 'chmod 700 "):
        PkiDirectory(pki.path)
    pki.path.chmod(0o700)
    pki.path.parent.chmod(0o777)
    with pytest.raises(PkiError, match=f"directory {pki.path.parent} can be written by other users: run 'chmod go-w"):
        PkiDirectory(pki.path)


@pytest.mark.parametrize("name", ["ca.pem", "ca.key", "issued", "lock", "certificates"])
def test_symbolic_links_are_not_followed(pki: PkiDirectory, tmp_path: Path, clock: Clock, name: str) -> None:
    issue(pki, "agent/a1")
    outside = tmp_path / "outside"
    (pki.path / name).rename(outside)
    (pki.path / name).symlink_to(outside)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(PkiError, match=f"{name}(/.*)? (cannot be used: it )?is a symbolic link"):
        issue(PkiDirectory(pki.path, clock), "agent/a2")
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_a_directory_that_cannot_be_looked_at(tmp_path: Path) -> None:
    with pytest.raises(PkiError, match=f"^{tmp_path}/x+/ca.pem cannot be used: File name too long$"):
        PkiDirectory(tmp_path / ("x" * 300))


def test_a_directory_that_is_a_link(pki: PkiDirectory, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(pki.path)
    with pytest.raises(PkiError, match="is a symbolic link: expected a directory"):
        PkiDirectory(link)
    with pytest.raises(PkiError, match="is a symbolic link: expected a directory"):
        PkiDirectory.create(link, replace=True)


def test_a_draft_that_is_a_link_is_not_written_through(pki: PkiDirectory, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (pki.path / ".crl.pem.new").symlink_to(victim)
    pki.revoke([add(pki)])
    assert victim.read_bytes() == b"precious"
    assert len(revoked_numbers(pki)) == 1


def test_a_record_that_is_damaged_is_named(pki: PkiDirectory) -> None:
    file = pki.path / "issued" / f"{add(pki).serial}.json"
    for content in (b"", b"{}", msgspec.json.encode({"serial": 1})):
        file.write_bytes(content)
        with pytest.raises(PkiError, match=f"^{file} is no record of a certificate .*: move it away$"):
            pki.issued()


def test_files_that_are_none(pki: PkiDirectory) -> None:
    file = pki.path / "ca.pem"
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(PkiError, match=f"^{file} is no plain file$"):
        PkiDirectory(pki.path)
    file.unlink()
    with file.open("wb") as large:
        large.truncate(directory.LARGEST + 1)
    with pytest.raises(PkiError, match=f"^{file} is larger than {directory.LARGEST} bytes$"):
        PkiDirectory(pki.path)


# Authorities for certain hosts only


@pytest.fixture
def narrow(tmp_path: Path, clock: Clock) -> PkiDirectory:
    return PkiDirectory.create(tmp_path / "narrow", permitted=("example.org", "192.0.2.0/24"), clock=clock)


@pytest.mark.parametrize("host", ["a.example.org", "example.org", "192.0.2.9", "localhost", "127.0.0.1", "::1"])
def test_hosts_that_are_permitted(narrow: PkiDirectory, host: str) -> None:
    assert add(narrow, AGENT, host)


@pytest.mark.parametrize("host", ["example.com", "192.0.3.1", "2001:db8::1", "box"])
def test_hosts_that_are_not(narrow: PkiDirectory, host: str) -> None:
    with pytest.raises(PkiError, match=f"for the host {host}: it is made for example.org, 192.0.2.0/24"):
        add(narrow, AGENT, host)


# What OpenSSL says


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
class TestOpenssl:
    @pytest.fixture
    def clock(self) -> Clock:
        """The time of OpenSSL."""
        clock = Clock()
        clock.now = datetime.now(UTC).timestamp()
        return clock

    def verify(self, pki: PkiDirectory, record: Issued, tmp_path: Path, *options: str) -> str:
        file = tmp_path / "it.pem"
        file.write_text(record.certificate)
        files = ("-CAfile", pki.path / "ca.pem", "-CRLfile", pki.path / "crl.pem")
        command = ("openssl", "verify", "-crl_check", "-x509_strict", *options, *files, file)
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    @pytest.mark.parametrize("role", PeerRole)
    def test_our_certificates_are_good(self, pki: PkiDirectory, tmp_path: Path, role: PeerRole) -> None:
        record = add(pki, Identity(role, "x"), "box.example")
        listens = role in (PeerRole.AGENT, PeerRole.CONTROLLER)
        assert self.verify(pki, record, tmp_path, "-purpose", "sslclient").endswith("OK\n")
        assert self.verify(pki, record, tmp_path, "-purpose", "sslserver").endswith("OK\n") == listens
        assert self.verify(pki, record, tmp_path, "-verify_hostname", "box.example").endswith("OK\n")
        assert "mismatch" in self.verify(pki, record, tmp_path, "-verify_hostname", "other.example")

    def test_revoked_ones_are_not(self, pki: PkiDirectory, tmp_path: Path) -> None:
        first, second = add(pki), add(pki)
        pki.revoke([first])
        assert "certificate revoked" in self.verify(pki, first, tmp_path)
        assert self.verify(pki, second, tmp_path).endswith("OK\n")

    def test_hosts_that_are_not_permitted(self, narrow: PkiDirectory, tmp_path: Path) -> None:
        """Also if somebody signs with the key and without our checks."""
        good = add(narrow, AGENT, "a.example.org", "192.0.2.1", "localhost", "127.0.0.1")
        assert self.verify(narrow, good, tmp_path).endswith("OK\n")
        authority = narrow.check(AGENT, ())
        for host in ("a.example.com", "192.0.3.1", "2001:db8::1"):
            key = building.make_key().public_key()
            forged = building.make_certificate(authority, AGENT, [host], key, datetime.now(UTC), timedelta(days=1))
            record = msgspec.structs.replace(good, certificate=reading.certificate_pem(forged))
            assert "permitted subtree violation" in self.verify(narrow, record, tmp_path)

    def test_a_certificate_signs_no_other(self, pki: PkiDirectory, tmp_path: Path, clock: Clock) -> None:
        """Nor does the authority let another authority sign."""
        key = building.make_key()
        record = pki.issue(AGENT, (), key.public_key())
        false = building.Authority(certificate_of(record), key)
        now = datetime.now(UTC)
        made = building.make_certificate(false, AGENT, (), building.make_key().public_key(), now, timedelta(days=1))
        chain = tmp_path / "chain.pem"
        chain.write_text(record.certificate)
        forged = msgspec.structs.replace(record, certificate=reading.certificate_pem(made))
        assert "invalid CA certificate" in self.verify(pki, forged, tmp_path, "-untrusted", str(chain))
