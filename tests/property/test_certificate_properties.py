"""Names and times go into certificates and come out of them unchanged, whatever they are."""

from __future__ import annotations

import base64
import contextlib
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekfleet.errors import PkiError
from zeekfleet.model.names import name_problem
from zeekfleet.pki import building, reading
from zeekfleet.pki.hosts import parse_host, parse_range
from zeekfleet.security.certificates import validity
from zeekfleet.security.identity import Identity, PeerRole

NOW = datetime(2030, 1, 1, tzinfo=UTC)
KEY = building.make_key()
AUTHORITY = building.make_authority(KEY, NOW, 36_500)
DER = AUTHORITY.certificate.public_bytes(serialization.Encoding.DER)
REQUEST = base64.b64decode("".join(reading.make_request(KEY).splitlines()[1:-1]))

names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", fullmatch=True).filter(lambda name: not name_problem(name))
identities = st.builds(Identity, st.sampled_from(PeerRole), names)
labels = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,8}[a-z0-9_])?", fullmatch=True)
domains = st.lists(labels, max_size=3).map(lambda parts: ".".join([*parts, "example"]))
hosts = st.one_of(domains, st.ip_addresses().map(str))


@given(identities, st.lists(hosts, max_size=4, unique=True), st.integers(1, 36_500))
@settings(max_examples=30)
def test_what_goes_in_comes_out(identity: Identity, given_hosts: list[str], days: int) -> None:
    canonical = [parse_host(host) for host in given_hosts]
    made = building.make_certificate(AUTHORITY, identity, canonical, KEY.public_key(), NOW, timedelta(days=days))
    assert reading.identity_of(made) == identity
    assert sorted(reading.hosts_of(made)) == sorted(canonical)
    assert reading.read_certificate(reading.certificate_pem(made).encode(), "it") == made


@given(st.text())
def test_a_host_is_read_or_refused_in_one_sentence(text: str) -> None:
    for read in (parse_host, parse_range):
        try:
            host = read(text)
        except PkiError:
            continue
        assert read(host) == host
        assert host.isascii()
        assert not set(host) & set("* \n")


@given(st.datetimes(datetime(1950, 1, 2), datetime(9990, 1, 1)), st.integers(0, 2000))
@settings(max_examples=50)
def test_times_are_read_as_the_library_reads_them(begin: datetime, days: int) -> None:
    begin = begin.replace(tzinfo=UTC, microsecond=0)
    builder = x509.CertificateBuilder(x509.Name([]), x509.Name([]), KEY.public_key(), 1)
    made = builder.not_valid_before(begin).not_valid_after(begin + timedelta(days=days)).sign(KEY, hashes.SHA256())
    found = validity(reading.certificate_pem(made).encode(), "it")
    assert (found.begin, found.end) == (begin.timestamp(), (begin + timedelta(days=days)).timestamp())


@given(st.integers(0, len(DER) - 1), st.integers(0, 255))
@settings(max_examples=500)
def test_a_damaged_certificate_is_refused_or_read(place: int, byte: int) -> None:
    damaged = bytearray(DER)
    damaged[place] = byte
    pem = ssl.DER_cert_to_PEM_cert(bytes(damaged)).encode()
    with contextlib.suppress(ValueError):
        validity(pem, "it")
    with contextlib.suppress(PkiError):
        made = reading.read_certificate(pem, "it")
        reading.identity_of(made)
        reading.is_authority(made)
        reading.is_issued_by(made, AUTHORITY.certificate)
        reading.public_key_of(made)


@given(st.integers(0, len(REQUEST) - 1), st.integers(0, 255))
@settings(max_examples=300)
def test_a_damaged_request_gives_the_key_of_whoever_signed_it_or_none(place: int, byte: int) -> None:
    damaged = bytearray(REQUEST)
    damaged[place] = byte
    pem = ssl.DER_cert_to_PEM_cert(bytes(damaged)).replace("CERTIFICATE", "CERTIFICATE REQUEST")
    with contextlib.suppress(PkiError):
        assert reading.public_key_of_request(pem.encode()) == KEY.public_key()


@pytest.mark.parametrize("length", [0, 1, 2, 50, -1])
def test_a_certificate_that_is_cut_off(length: int) -> None:
    with pytest.raises(ValueError, match="it"):
        validity(ssl.DER_cert_to_PEM_cert(DER[:length]).encode(), "it")
