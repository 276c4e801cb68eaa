"""How long an agent counts as present while nothing is heard of it."""

from __future__ import annotations

from zeekfleet.controller.leases import Leases

LENGTH, REPRIEVE = 15.0, 2.0


def leases(*holders: str, at: float = 0.0) -> Leases[str]:
    made = Leases[str](LENGTH, REPRIEVE)
    for holder in holders:
        made.grant(holder, at)
    return made


def test_without_leases_there_is_nothing_to_look_for() -> None:
    assert leases().next_look is None
    assert leases().given_up(1000.0) == []


def test_who_is_silent_is_given_up_after_lease_and_reprieve() -> None:
    made = leases("a")
    assert made.next_look == 15.0
    assert made.given_up(15.0) == []
    assert made.next_look == 17.0
    assert made.given_up(16.9) == []
    assert made.given_up(17.0) == ["a"]
    assert made.next_look is None
    assert made.given_up(1000.0) == []


def test_who_is_heard_has_a_whole_lease_again() -> None:
    made = leases("a", "b")
    made.heard("a", 14.0)
    assert made.given_up(15.0) == []
    assert made.given_up(17.0) == ["b"]
    assert made.next_look == 29.0


def test_who_is_heard_in_the_reprieve_has_a_whole_lease_again() -> None:
    made = leases("a")
    made.given_up(15.0)
    made.heard("a", 16.0)
    assert made.next_look == 31.0
    assert made.given_up(17.0) == []


def test_who_has_no_lease_gets_none_by_being_heard() -> None:
    made = leases()
    made.heard("stock agent", 0.0)
    assert made.next_look is None


def test_a_lease_that_was_ended_is_not_given_up() -> None:
    made = leases("a", "b")
    made.end("a")
    made.given_up(15.0)
    made.end("b")
    made.end("unknown")
    assert made.next_look is None
    assert made.given_up(17.0) == []


def test_who_looks_after_standing_still_gives_up_nobody_yet() -> None:
    made = leases("a", "b")
    assert made.given_up(100.0) == []
    made.heard("a", 100.5)
    assert made.given_up(102.0) == ["b"]


def test_who_stands_still_in_the_reprieve_gives_it_once_more() -> None:
    made = leases("a")
    made.given_up(15.0)
    assert made.given_up(100.0) == []
    assert made.next_look == 102.0
    assert made.given_up(102.9) == ["a"]
