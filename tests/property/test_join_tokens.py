"""Tokens by which agents join: what is made is read again, and whatever else comes is refused in one sentence."""

from __future__ import annotations

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zeekfleet.errors import PkiError
from zeekfleet.model.names import name_problem
from zeekfleet.pki.join_token import LONGEST, JoinToken, fingerprint_of, hashed, make_token, parse_token

NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", fullmatch=True).filter(lambda name: not name_problem(name))
FINGERPRINTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
TOKEN = make_token("sensor-1", "ab" * 32).text


def read(text: str) -> tuple[JoinToken | None, str]:
    """The token, or else why it is none."""
    try:
        return parse_token(text), ""
    except PkiError as error:
        return None, str(error)


@given(NAMES, FINGERPRINTS, st.sampled_from(["", " ", "\n", "\r\n\t"]))
def test_what_is_made_is_read_again(name: str, fingerprint: str, around: str) -> None:
    token = make_token(name, fingerprint)
    assert parse_token(around + token.text + around) == token
    assert len(token.text) <= LONGEST
    assert token.text.isascii()
    assert set(token.text) <= set(string.ascii_letters + string.digits + "._-")
    assert not token.text.startswith("-")


@given(st.text(max_size=400))
@example("")
@example("zft1")
@example("zft1...")
@example(TOKEN + "\0")
@example(TOKEN.replace(".sensor-1", ".\n"))
@example(TOKEN.replace(".sensor-1", ".../x"))
@example(TOKEN.replace(".sensor-1", ".-x"))
@example("zft1." + "\uff21" * 27 + "." + "A" * 43 + ".a")
@example(TOKEN + "a" * 400)
def test_whatever_else_is_refused(text: str) -> None:
    token, problem = read(text)
    assert (token is None) is bool(problem)
    assert token is None or token.text == text.strip()
    assert "\n" not in problem
    assert len(problem) < 200


@given(st.integers(0, len(TOKEN) - 1), st.characters())
def test_a_token_with_another_character_is_another_token(place: int, character: str) -> None:
    text = TOKEN[:place] + character + TOKEN[place + 1 :]
    token, problem = read(text)
    assert (token == parse_token(TOKEN)) is (text.strip() == TOKEN)
    assert TOKEN.split(".")[1] not in problem


def test_the_last_bits_of_a_fingerprint_are_written_in_one_way() -> None:
    text = make_token("a", "00" * 32).text
    assert text.split(".")[2] == "A" * 43
    with pytest.raises(PkiError, match="the token is damaged"):
        parse_token(text.replace("A" * 43, "A" * 42 + "B"))


def test_secrets_differ_and_are_not_shown() -> None:
    tokens = [make_token("a", "00" * 32) for _ in range(100)]
    assert len({token.secret for token in tokens}) == 100
    assert all(len(token.secret) == 27 for token in tokens)
    assert repr(tokens[0]) == "JoinToken('a')"
    assert hashed(tokens[0].secret) != hashed(tokens[1].secret)
    assert tokens[0] == JoinToken("a", tokens[0].secret, "00" * 32)


@given(st.text(max_size=200))
def test_what_is_no_certificate_has_no_fingerprint(text: str) -> None:
    with pytest.raises(PkiError, match="this is no certificate in PEM format"):
        fingerprint_of(text)
