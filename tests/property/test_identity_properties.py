"""Whatever stands in a certificate, at most one well-formed URI of ours makes an identity."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from zeekfleet.model.names import name_problem
from zeekfleet.security.identity import Identity, PeerRole, identity_of_uris, parse_identity

names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", fullmatch=True).filter(lambda name: not name_problem(name))
identities = st.builds(Identity, st.sampled_from(PeerRole), names)
foreign = st.text(max_size=20).filter(lambda text: not text.lower().startswith("zeekfleet:"))
near = st.builds("".join, st.lists(st.sampled_from(["agent", "/", "a", ".", "-", " ", "\0", "\n", "É", "%2f", ":"])))


@given(identities, st.lists(foreign))
def test_an_identity_is_found_among_foreign_uris(identity: Identity, others: list[str]) -> None:
    assert parse_identity(str(identity)) == identity
    assert identity_of_uris([*others, identity.uri, *others]) == identity


@given(identities, identities)
def test_two_are_none(one: Identity, other: Identity) -> None:
    assert identity_of_uris([one.uri, other.uri]) is None


@given(st.one_of(st.text(), near))
def test_what_is_read_is_what_was_written(text: str) -> None:
    identity = parse_identity(text)
    if identity is not None:
        assert str(identity) == text
        assert re.fullmatch(r"[a-z]+/[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", text)
