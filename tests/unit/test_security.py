"""Who is served: users of this host, but no web page; and how often refusals are logged."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from zeekfleet.security.access import AccessControl, SocketOwner
from zeekfleet.security.reports import Reports
from zeekfleet.security.users import ServedUsers, groups_of
from zeekfleet.security.web_pages import OwnNames, own_names

NAMES = OwnNames(frozenset({"localhost", "sensor-1"}))


def test_root_and_allowed_users_are_served() -> None:
    users = ServedUsers(frozenset({1000}), frozenset({50}), lambda uid: (50, 60) if uid == 2000 else (60,))
    assert [uid for uid in (0, 1, 1000, 2000, 65534) if users.admit(uid)] == [0, 1000, 2000]


def test_without_groups_no_groups_are_looked_up() -> None:
    def unreachable(uid: int) -> tuple[int, ...]:
        raise AssertionError(uid)

    assert not ServedUsers(groups_of=unreachable).admit(1)


def test_a_user_without_an_entry_is_in_no_group() -> None:
    assert groups_of(2**31 - 7) == ()
    assert groups_of(0)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost", None),
        ("LOCALHOST.:2149", None),
        ("sensor-1:2149", None),
        ("127.0.0.1:2149", "http://127.0.0.1:2149"),  # as zeek-client has it
        ("[::1]:2149", "http://[::1]:2149"),
        ("127.0.0.1:2149", "https://127.0.0.1:2149"),
        ("192.0.2.7", "http://192.0.2.7"),
        ("192.0.2.7:80", "http://192.0.2.7"),
        (None, None),
    ],
)
@pytest.mark.parametrize("local", [True, False])
def test_requests_that_no_foreign_web_page_makes(host: str | None, origin: str | None, local: bool) -> None:
    problem = NAMES.problem([host] if host else [], [origin] if origin else [], local=local)
    assert problem is None


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:2149", "http://evil.example"),
        ("127.0.0.1:2149", "http://127.0.0.1:8000"),  # another service on this host
        ("127.0.0.1:2149", "http://localhost:2149"),
        ("127.0.0.1:2149", "null"),
        ("127.0.0.1:2149", ""),
        ("127.0.0.1:2149", "file://"),
        ("evil.example:2149", "http://evil.example:2149"),  # a name made to lead here
        ("localhost.evil.example", "http://localhost.evil.example"),
        ("127.0.0.1.evil.example", "http://127.0.0.1.evil.example"),
        ("[evil", "http://[evil"),
        ("localhost:x", "http://localhost:x"),
        (None, "http://localhost:2149"),
    ],
)
@pytest.mark.parametrize("local", [True, False])
def test_requests_of_foreign_web_pages(host: str | None, origin: str, local: bool) -> None:
    assert NAMES.problem([host] if host else [], [origin], local=local) is not None


def test_clients_on_other_hosts_may_use_any_host_name() -> None:
    """A client on another host that is no browser may use any name for this host; one on this host may not."""
    assert NAMES.problem(["alias.example:2150"], [], local=False) is None
    assert NAMES.problem(["alias.example:2150"], [], local=True) is not None


def test_a_refusal_cannot_put_a_line_into_a_log() -> None:
    assert (NAMES.problem(["a\r\n\x1b[2J"], [], local=True) or "").isprintable()


def test_names_of_this_host(tmp_path: Path) -> None:
    own = socket.gethostname().lower()
    file = tmp_path / "hosts"
    file.write_text(f"# comment\n127.0.1.1 One.example one # more\n192.0.2.1 two\n192.0.2.2 {own} three\n\n::1 six\n")
    names = own_names(["Given.example"], file).names
    assert {"localhost", own, "one.example", "one", "three", "six", "given.example"} <= names
    assert names.isdisjoint({"two", "", "#", "more"})
    assert "localhost" in own_names((), tmp_path / "missing").names


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_repeated_refusals_are_logged_once_a_minute() -> None:
    clock = Clock()
    reports = Reports(clock)
    assert reports.line("a", lambda: "a came") == "a came"
    for _ in range(2):
        assert reports.line("a", lambda: pytest.fail("made, and not logged")) == ""
    assert reports.line("b", lambda: "b came") == "b came"
    clock.now = 61.0
    assert reports.line("a", lambda: "a came") == "a came; 2 more since the last such line"


def test_access_control() -> None:
    ours, theirs = socket.socketpair()
    callers: list[SocketOwner | None] = []
    access = AccessControl(ServedUsers(frozenset({7})), NAMES, lambda _: callers.pop())
    with ours, theirs:
        callers.append(SocketOwner(7))
        assert access.check(ours).refusal is None
        callers.append(SocketOwner(2**31 - 7, lambda: "/bin/evil\n\x1b"))
        peer = access.check(ours)
        assert peer.uid == 2**31 - 7
        assert peer.refusal is not None
        assert f"user {2**31 - 7}" in peer.refusal.reason
        assert peer.refusal.report.endswith("program /bin/evil\\n\\x1b")
        callers.append(SocketOwner(2**31 - 7))
        again = access.check(ours)
        assert again.refusal is not None
        assert again.refusal.report == ""
        callers.append(None)
        nobody = access.check(ours)
        assert nobody.refusal is not None
        assert nobody.uid is None


def test_a_client_that_is_gone_before_the_lookup_is_not_served() -> None:
    with socket.socket() as never_connected:
        assert AccessControl(ServedUsers(), NAMES, lambda _: None).check(never_connected).refusal is not None


def test_whoever_is_not_served_is_not_obeyed_either() -> None:
    ours, theirs = socket.socketpair()
    owners: list[SocketOwner | None] = []
    access = AccessControl(ServedUsers(frozenset({7})), NAMES, lambda _: owners.pop())
    with ours, theirs, socket.socket() as elsewhere:
        owners.append(SocketOwner(7))
        assert access.problem_of_listener(ours) == ""
        owners.append(SocketOwner(2**31 - 7, lambda: "/bin/evil\n\x1b"))
        told = access.problem_of_listener(ours)
        assert told.startswith(f"a program of user {2**31 - 7}, /bin/evil\\n\\x1b, listens there, and is not obeyed")
        owners.append(None)
        assert access.problem_of_listener(ours) == "whose program listens there cannot be told"
        owners.append(None)
        assert access.problem_of_listener(elsewhere) == "whose program listens there cannot be told"


class _OnAnotherHost:
    family = socket.AF_INET

    def getpeername(self) -> tuple[str, int]:
        return "192.0.2.1", 2150


def test_programs_on_other_hosts_are_not_known_by_their_user() -> None:
    access = AccessControl(ServedUsers(), NAMES, lambda _: None)
    assert access.problem_of_listener(_OnAnotherHost()) == ""  # type: ignore[arg-type]
