"""Tokens beside an authority: kept as hashes, worth one certificate each, for a while."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from zeekfleet.errors import JoinRefusedError, PkiError
from zeekfleet.pki import building, reading, tokens
from zeekfleet.pki.directory import PkiDirectory
from zeekfleet.pki.join_token import fingerprint_of, hashed
from zeekfleet.pki.records import Issued
from zeekfleet.pki.tokens import KEPT, Tokens, controller_hosts
from zeekfleet.security.identity import Identity, PeerRole

NOW = 1_893_456_000.0
HOUR = 3600.0


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pki(tmp_path: Path, clock: Clock) -> PkiDirectory:
    return PkiDirectory.create(tmp_path / "pki", clock=clock)


@pytest.fixture
def store(pki: PkiDirectory, clock: Clock) -> Tokens:
    return Tokens(pki, clock)


def redeem(store: Tokens, name: str, secret: str, request: str | None = None, is_taken: bool = False) -> Issued:
    request = reading.make_request(building.make_key()) if request is None else request
    return store.redeem(name, secret, request, "192.0.2.7", lambda: is_taken)


def refusal(store: Tokens, name: str, secret: str, **how: object) -> JoinRefusedError:
    issued = [one.serial for one in store._pki.issued()]
    with pytest.raises(JoinRefusedError) as refused:
        redeem(store, name, secret, **how)  # type: ignore[arg-type]
    assert [one.serial for one in store._pki.issued()] == issued
    return refused.value


def test_a_token_is_worth_one_certificate(store: Tokens, pki: PkiDirectory, clock: Clock) -> None:
    token, kept = store.create("sensor-1", hosts=("s.example", "192.0.2.7", "s.example"))
    assert (token.name, kept.identity) == ("sensor-1", Identity(PeerRole.AGENT, "sensor-1"))
    assert (kept.expires - kept.made, kept.state(clock.now)) == (HOUR, "waiting")
    assert token.fingerprint == fingerprint_of(reading.certificate_pem(pki.certificate))
    key = building.make_key()
    issued = redeem(store, "sensor-1", token.secret, reading.make_request(key))
    made = reading.read_certificate(issued.certificate.encode(), "it")
    assert reading.identity_of(made) == kept.identity
    assert reading.hosts_of(made) == ("s.example", "192.0.2.7")
    assert made.public_key() == key.public_key()
    assert reading.is_issued_by(made, pki.certificate)
    (used,) = store.kept()
    assert (used.state(clock.now), used.used, used.used_by) == ("used", clock.now, "192.0.2.7")
    replayed = refusal(store, "sensor-1", token.secret, request=reading.make_request(key))
    assert str(replayed) == "the token was used on 2030-01-01 00:00:00 UTC from 192.0.2.7 already"
    assert replayed.answer == "the token is not accepted: the controller's log says why"


def test_only_a_hash_of_the_secret_is_kept_for_us_alone(store: Tokens, pki: PkiDirectory) -> None:
    token, _ = store.create("a")
    file = pki.path / "tokens" / "agent-a.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    everything = b"".join(path.read_bytes() for path in pki.path.rglob("*") if path.is_file())
    assert token.secret.encode() not in everything
    assert json.loads(file.read_bytes())["hash"] == hashed(token.secret)


def test_the_wrong_secret_or_name(store: Tokens) -> None:
    token, _ = store.create("a")
    other, _ = store.create("b")
    for secret in (other.secret, "", token.secret[:-1], "ä", "\udc80", token.secret + "\0"):
        assert str(refusal(store, "a", secret)) == "the secret is not that of the token for this name"
    for name in ("c", "", "../a", "A", "a/b", "x" * 5000, "\udc80"):
        assert str(refusal(store, name, token.secret)) == "there is no token for this name"
    assert redeem(store, "a", token.secret)


def test_out_of_time(store: Tokens, clock: Clock) -> None:
    token, _ = store.create("a", 60)
    clock.now = NOW + 61
    assert str(refusal(store, "a", token.secret)) == "the token has expired on 2030-01-01 00:01:00 UTC"
    clock.now = NOW - 301  # somebody has set the clock back, which does not make tokens live longer
    assert "the token was made on 2030-01-01 00:00:00 UTC, and it is 2029-12-31" in str(
        refusal(store, "a", token.secret)
    )
    clock.now = NOW - 100
    assert redeem(store, "a", token.secret)


def test_whoever_is_there_keeps_the_name_and_the_token_stays(store: Tokens) -> None:
    token, _ = store.create("a")
    assert refusal(store, "a", token.secret, is_taken=True).answer == (
        "an agent named a is connected: stop it, then join"
    )
    # Nobody learns without the secret who is there.
    assert "connected" not in refusal(store, "a", "x", is_taken=True).answer
    assert redeem(store, "a", token.secret)


@pytest.mark.parametrize("request_", ["", "nonsense", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"])
def test_what_is_no_request_leaves_the_token(store: Tokens, request_: str) -> None:
    token, _ = store.create("a")
    assert "is no request for a certificate" in str(refusal(store, "a", token.secret, request=request_))
    assert redeem(store, "a", token.secret)


def test_a_new_token_takes_the_place_of_the_former(store: Tokens) -> None:
    former, _ = store.create("a")
    token, _ = store.create("a")
    assert len(store.kept()) == 1
    refusal(store, "a", former.secret)
    assert redeem(store, "a", token.secret)


def test_revoked(store: Tokens) -> None:
    token, _ = store.create("a")
    assert store.revoke("a").name == "a"
    assert str(refusal(store, "a", token.secret)) == "there is no token for this name"
    for name in ("a", "../a"):
        with pytest.raises(PkiError, match="there is no token for agent"):
            store.revoke(name)


def test_used_once_although_many_try_at_the_same_time(store: Tokens, pki: PkiDirectory) -> None:
    token, _ = store.create("a")
    outcomes: list[str] = []

    def attempt() -> None:
        try:
            redeem(store, "a", token.secret)
            outcomes.append("joined")
        except JoinRefusedError as error:
            outcomes.append(str(error).split(" on ")[0])

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["joined", *["the token was used"] * 7]
    assert len(pki.issued()) == 1


def test_noted_as_used_before_a_certificate_is_made(
    store: Tokens, pki: PkiDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, _ = store.create("a")

    def full(*_: object) -> Issued:
        raise PkiError("no space left on device")

    monkeypatch.setattr(pki, "issue", full)
    with pytest.raises(PkiError, match="no space left"):
        redeem(store, "a", token.secret)
    monkeypatch.undo()
    assert str(refusal(store, "a", token.secret)).startswith("the token was used on")


def test_an_authority_that_can_issue_nothing_leaves_the_token(store: Tokens, pki: PkiDirectory) -> None:
    token, _ = store.create("a")
    key = pki.path / "ca.key"
    key.rename(key.with_suffix(".away"))
    with pytest.raises(PkiError):
        redeem(store, "a", token.secret)
    with pytest.raises(PkiError):
        store.create("b")
    key.with_suffix(".away").rename(key)
    assert redeem(store, "a", token.secret)


def test_names_and_hosts_that_are_not_allowed(tmp_path: Path) -> None:
    store = Tokens(PkiDirectory.create(tmp_path / "pki", permitted=("example.org",)))
    for name in ("", "-a", "a/b", "instances"):
        with pytest.raises(PkiError, match="is not allowed"):
            store.create(name)
    with pytest.raises(PkiError, match=r"the authority may not vouch for the host b\.example\.com"):
        store.create("a", hosts=("b.example.com",))
    assert store.kept() == []


def test_tokens_do_not_grow_for_ever(store: Tokens, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX", 2)
    store.create("a")
    store.create("b")
    with pytest.raises(PkiError, match=r"there are 2 tokens in .* already: revoke some"):
        store.create("c")
    clock.now += HOUR + KEPT + 1
    store.create("c")
    assert [kept.name for kept in store.kept()] == ["c"]


def test_damaged_or_readable_for_others(store: Tokens, pki: PkiDirectory) -> None:
    store.create("a")
    file = pki.path / "tokens" / "agent-a.json"
    file.write_text("{")
    with pytest.raises(PkiError, match=r"agent-a.json is no token .*: remove it"):
        redeem(store, "a", "x")
    file.unlink()
    file.symlink_to("/etc/passwd")
    with pytest.raises(PkiError, match="it is a symbolic link"):
        redeem(store, "a", "x")
    (pki.path / "tokens").chmod(0o755)
    with pytest.raises(PkiError, match="can be read by other users: run 'chmod 700"):
        Tokens(pki)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_of_another_user(store: Tokens, pki: PkiDirectory) -> None:
    os.chown(pki.path / "tokens", 12345, -1)
    with pytest.raises(PkiError, match="belongs to user 12345"):
        Tokens(pki)


def test_tokens_of_a_former_authority_are_set_aside(store: Tokens, pki: PkiDirectory, clock: Clock) -> None:
    token, _ = store.create("a")
    other = PkiDirectory.create(pki.path, replace=True, clock=clock)
    assert Tokens(other, clock).kept() == []
    refusal(Tokens(other, clock), "a", token.secret)


def test_where_controllers_are_reached(pki: PkiDirectory, clock: Clock) -> None:
    def add(name: str, *hosts: str, role: PeerRole = PeerRole.CONTROLLER) -> Issued:
        clock.now += 1
        return pki.issue(Identity(role, name), hosts, building.make_key().public_key())

    add("a", "192.0.2.9", role=PeerRole.AGENT)
    gone = add("c", "192.0.2.1")
    add("c", "192.0.2.2", "localhost")
    add("c", "192.0.2.3", "localhost")
    pki.revoke([gone])
    assert controller_hosts(pki.issued(), clock.now) == ["192.0.2.3", "localhost", "192.0.2.2"]
