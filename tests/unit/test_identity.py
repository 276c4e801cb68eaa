"""Whom a certificate belongs to."""

from __future__ import annotations

import pytest

from zeekfleet.security.identity import Identity, PeerRole, identity_of_peer, identity_of_uris, parse_identity

AGENT = Identity(PeerRole.AGENT, "sensor-1")


def test_an_identity_as_text() -> None:
    assert (str(AGENT), AGENT.uri) == ("agent/sensor-1", "zeekfleet:agent/sensor-1")
    assert parse_identity("agent/sensor-1") == AGENT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "agent",
        "agent/",
        "agent/.hidden",
        "agent/-option",
        "agent/a b",
        "agent/a/b",
        "agent/a\n",
        "agent/a\0",
        "agent/ä",
        f"agent/{'a' * 65}",
        "agent/DEFAULT",
        "Agent/a",
        "AGENT/a",
        "root/a",
        "/a",
        "agent//a",
    ],
)
def test_what_is_no_identity(text: str) -> None:
    assert parse_identity(text) is None
    assert identity_of_uris([f"zeekfleet:{text}"]) is None


@pytest.mark.parametrize(
    ("uris", "expected"),
    [
        ([], None),
        (["zeekfleet:agent/sensor-1"], AGENT),
        (["https://example.org/", "zeekfleet:agent/sensor-1"], AGENT),
        (["zeekfleet:agent/sensor-1", "zeekfleet:admin/root"], None),
        (["zeekfleet:agent/sensor-1", "zeekfleet:agent/sensor-1"], None),
        (["zeekfleet:agent/sensor-1", "zeekfleet:nonsense"], None),
        (["zeekfleet:agent/sensor-1", "ZeekFleet:admin/root"], None),
        (["ZEEKFLEET:agent/sensor-1"], None),
        (["zeekfleet://agent/sensor-1"], None),
        (["xzeekfleet:agent/sensor-1"], None),
    ],
)
def test_exactly_one_uri_of_ours_gives_an_identity(uris: list[str], expected: Identity | None) -> None:
    assert identity_of_uris(uris) == expected
    names = (("DNS", "sensor-1.example"), *(("URI", uri) for uri in uris), ("IP Address", "192.0.2.1"))
    assert identity_of_peer({"subjectAltName": names}) == expected


@pytest.mark.parametrize("certificate", [None, {}, {"subject": ((("commonName", "zeekfleet:admin/root"),),)}])
def test_a_peer_whose_certificate_was_not_verified_has_none(certificate: dict[str, object] | None) -> None:
    assert identity_of_peer(certificate) is None


@pytest.mark.parametrize("kind", ["DNS", "email", "IP Address"])
def test_only_uris_count(kind: str) -> None:
    assert identity_of_peer({"subjectAltName": ((kind, "zeekfleet:admin/root"),)}) is None
