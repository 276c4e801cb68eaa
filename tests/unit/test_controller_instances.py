"""Which agent the controller knows as an instance: the first one of a name, as long as any of its connections lasts."""

from __future__ import annotations

import pytest

from zeekfleet.broker.generations import FIRST, SECOND
from zeekfleet.controller.instances import Hello, Instances
from zeekfleet.controller.name_claims import NAMESAKES_MAX
from zeekfleet.model.management import Configuration, Instance
from zeekfleet.model.types import Address, Port
from zeekfleet.transport.bus import Peer


def peer(number: int, endpoint: str = "", *, dialled: bool = False) -> Peer:
    host, port = "127.0.0.1", 1000 + number
    instance = Instance("a", Address(host), Port(port)) if dialled else None
    return Peer(number, f"p{number}", host, f"{host}:{port}", dialled_for=instance, endpoint=endpoint)


def test_the_first_agent_of_a_name_is_known_until_it_is_gone_then_the_second() -> None:
    instances = Instances()
    first, second, third = peer(1, "x"), peer(2, "y"), peer(3, "z")
    assert instances.hello("a", first, True, SECOND, "x") is Hello.NEWS
    instances.welcomed(instances.known["a"])
    assert instances.hello("a", second, True, SECOND, "y") is Hello.REFUSED
    assert instances.hello("a", second, True, FIRST) is Hello.REFUSED_BEFORE
    assert instances.hello("a", third, True, SECOND, "z") is Hello.REFUSED
    assert instances.known["a"].peer == first
    assert instances.is_welcomed(instances.known["a"])

    assert instances.lost(first) == ["a"]
    assert instances.known["a"].peer == second
    assert instances.known["a"].generation is SECOND
    assert not instances.is_welcomed(instances.known["a"])
    assert instances.presence("a") == "connected"

    assert instances.lost(third) == []
    assert instances.lost(second) == ["a"]
    assert "a" not in instances.known


def test_a_second_agent_of_a_name_changes_nothing_when_it_comes_and_goes() -> None:
    instances = Instances()
    first, second = peer(1), peer(2)  # agents of other makes, which send no endpoint id
    instances.hello("a", first, True, FIRST)
    instances.welcomed(instances.known["a"])
    assert instances.hello("a", second, True, FIRST) is Hello.REFUSED
    assert not instances.has_link("a", second)
    assert instances.lost(second) == []
    assert instances.known["a"].peer == first
    assert instances.is_welcomed(instances.known["a"])


def test_an_agent_with_two_connections_is_known_while_one_of_them_lasts() -> None:
    instances = Instances()
    dials, dialled = peer(1, "x"), peer(2, "x", dialled=True)
    assert instances.hello("a", dials, True, SECOND, "x") is Hello.NEWS
    instances.told_its_capabilities("a", dials, frozenset({"check"}))
    instances.welcomed(instances.known["a"])
    assert instances.hello("a", dialled, True, SECOND, "x") is Hello.NEWS
    assert instances.hello("a", peer(3, "y"), True, SECOND, "y") is Hello.REFUSED
    assert instances.lost(dialled) == ["a"]
    assert instances.known["a"].peer == dials
    assert instances.can(instances.known["a"], "check")
    assert instances.is_welcomed(instances.known["a"])


def test_an_agent_is_recognized_by_the_endpoint_in_its_hello() -> None:
    instances = Instances()
    assert instances.hello("a", peer(1), True, SECOND, "x") is Hello.NEWS
    assert instances.hello("a", peer(2), True, SECOND, "x") is Hello.NEWS
    assert instances.known["a"].peer == peer(2)


def test_a_repeated_hello_changes_nothing() -> None:
    instances = Instances()
    assert instances.hello("a", peer(1), True, SECOND, "x") is Hello.NEWS
    assert instances.hello("a", peer(1), True, FIRST) is Hello.NO_NEWS
    assert instances.hello("a", peer(1), True, SECOND, "x") is Hello.NO_NEWS


def test_an_agent_at_the_place_that_a_deployment_awaits_is_accepted() -> None:
    """The instance moves to another host: until then two agents have its name, one on each host."""
    instances = Instances()
    instances.hello("a", peer(1, "x"), True, SECOND, "x")
    there = peer(2, "y", dialled=True)
    instances.look_for([Instance("a", Address(there.host), Port(1002))])
    assert instances.hello("a", there, False, SECOND, "y") is Hello.NEWS


def moving(*, to: Peer) -> list[Instance]:
    """What a deployment looks for if the instance is to be where this peer was dialled."""
    assert to.dialled_for is not None
    return [to.dialled_for]


def test_a_refused_agent_at_the_place_that_a_deployment_awaits_has_the_name_while_that_is_under_way() -> None:
    instances = configured()
    here, there, third = peer(1, "x"), peer(2, "y", dialled=True), peer(3, "z", dialled=True)
    for one, connecting in ((here, True), (there, False), (third, False)):
        instances.hello("a", one, connecting, SECOND, one.endpoint)
    assert instances.is_refused("a", there)
    instances.look_for(moving(to=there))
    assert instances.has_link("a", there)
    assert instances.known["a"].peer == here, "the cluster's agent stays known until another one is adopted"
    assert instances.is_refused("a", third), "it was dialled elsewhere"
    # The deployment is refused: the name stays with the agent that had it.
    link = instances.reached(moving(to=there)[0])
    assert link is not None
    instances.welcomed(link)
    instances.look_for(())
    assert not instances.part_namesakes("a")
    assert instances.known["a"].peer == here
    assert instances.is_refused("a", there)
    assert not instances.is_welcomed(link), "when it is wanted again, it is welcomed anew"


def test_the_former_agent_of_an_instance_that_has_moved_waits_for_the_name() -> None:
    instances = configured()
    here, there = peer(1, "x"), peer(2, "y", dialled=True)
    instances.hello("a", here, True, SECOND, "x")
    instances.look_for(moving(to=there))
    assert instances.hello("a", there, False, SECOND, "y") is Hello.NEWS
    assert instances.known["a"].peer == here
    instances.adopt(Configuration(instances=tuple(moving(to=there))))
    instances.look_for(())
    assert instances.known["a"].peer == there
    instances.part_namesakes("a")
    assert instances.known["a"].peer == there
    assert instances.is_refused("a", here)


@pytest.mark.parametrize("said_before", [True, False])
def test_a_refused_deployment_leaves_a_name_reserved(said_before: bool) -> None:
    """The agent that had it may only be restarting, and its nodes run on."""
    instances = configured()
    first, there, again = elsewhere(1, "x"), peer(2, "y", dialled=True), elsewhere(3, "z")
    instances.hello("a", first, True, SECOND, "x")
    instances.lost(first)
    if said_before:
        assert instances.hello("a", there, False, SECOND, "y") is Hello.REFUSED
    instances.look_for(moving(to=there))
    if not said_before:
        assert instances.hello("a", there, False, SECOND, "y") is Hello.NEWS
    assert instances.known["a"].peer == there
    instances.look_for(())
    assert not instances.part_namesakes("a")
    assert "a" not in instances.known
    assert instances.hello("a", again, True, SECOND, "z") is Hello.NEWS
    assert instances.known["a"].peer == again


def test_an_agent_that_comes_back_while_a_deployment_looks_elsewhere_has_its_name_when_that_is_refused() -> None:
    instances = configured()
    first, there, again = elsewhere(1, "x"), peer(2, "y", dialled=True), elsewhere(3, "z")
    instances.hello("a", first, True, SECOND, "x")
    instances.lost(first)
    reservation = instances.reservation("a")
    assert reservation is not None
    instances.look_for(moving(to=there))
    instances.hello("a", there, False, SECOND, "y")
    assert instances.hello("a", again, True, SECOND, "z") is Hello.REFUSED
    instances.look_for(())
    assert instances.part_namesakes("a")
    assert instances.known["a"].peer == again
    assert not instances.end_reservation("a", reservation)


def test_capabilities_of_a_waiting_agent_are_remembered() -> None:
    instances = Instances()
    instances.hello("a", peer(1), True, SECOND, "x")
    instances.told_its_capabilities("a", peer(2), frozenset({"check"}))  # a stranger: it never said hello
    instances.hello("a", peer(2), True, SECOND, "y")
    instances.told_its_capabilities("a", peer(2), frozenset({"check"}))
    assert not instances.can(instances.known["a"], "check")
    instances.lost(peer(1))
    assert instances.can(instances.known["a"], "check")


def test_only_so_many_waiting_agents_are_remembered() -> None:
    instances = Instances()
    instances.hello("a", peer(0), True, SECOND, "x")
    for number in range(1, NAMESAKES_MAX + 5):
        instances.hello("a", peer(number), True, SECOND, f"y{number}")
    for number in range(NAMESAKES_MAX):
        instances.lost(peer(number))
        assert instances.known["a"].peer == peer(number + 1)
    instances.lost(peer(NAMESAKES_MAX))
    assert "a" not in instances.known


def elsewhere(number: int, endpoint: str = "") -> Peer:
    return Peer(number, f"p{number}", "127.0.0.9", f"127.0.0.9:{1000 + number}", endpoint=endpoint)


def configured(*, host: str = "0.0.0.0") -> Instances:
    instances = Instances()
    instances.adopt(Configuration(instances=(Instance("a", Address(host)),)))
    return instances


def test_a_restarting_agent_keeps_its_name() -> None:
    """Its nodes keep running: another agent of this name would start them a second time."""
    instances = configured()
    first, namesake, again = peer(1, "x"), elsewhere(2, "y"), peer(3, "z")
    instances.hello("a", first, True, SECOND, "x")
    assert instances.hello("a", namesake, True, SECOND, "y") is Hello.REFUSED
    assert instances.lost(first) == ["a"]
    reservation = instances.reservation("a")
    assert reservation is not None
    assert "a" not in instances.known
    assert "127.0.0.1" in instances.why_refused("a")
    assert instances.hello("a", elsewhere(4, "w"), True, SECOND, "w") is Hello.REFUSED
    assert instances.hello("a", again, True, SECOND, "z") is Hello.NEWS
    assert instances.known["a"].peer == again
    assert not instances.end_reservation("a", reservation), "it has come back"
    assert instances.known["a"].peer == again


def test_a_name_that_was_kept_in_vain_goes_to_the_waiting_agent() -> None:
    instances = configured()
    first, namesake = peer(1, "x"), elsewhere(2, "y")
    instances.hello("a", first, True, SECOND, "x")
    instances.hello("a", namesake, True, SECOND, "y")
    instances.lost(first)
    reservation = instances.reservation("a")
    assert reservation is not None
    assert instances.end_reservation("a", reservation)
    assert instances.known["a"].peer == namesake
    assert not instances.end_reservation("a", reservation)
    assert instances.presence("a") == "connected"


def test_the_same_endpoint_from_another_address_is_the_same_agent() -> None:
    instances = configured()
    instances.hello("a", peer(1, "x"), True, SECOND, "x")
    instances.lost(peer(1, "x"))
    assert instances.hello("a", elsewhere(2, "x"), True, SECOND, "x") is Hello.NEWS


def test_a_started_controller_keeps_the_names_of_known_agents() -> None:
    instances = configured(host="127.0.0.1")
    kept = instances.reserve_names()
    assert list(kept) == ["a"]
    assert instances.hello("a", elsewhere(1, "y"), True, SECOND, "y") is Hello.REFUSED
    assert instances.hello("a", peer(2, "x"), True, SECOND, "x") is Hello.NEWS
    assert not configured().reserve_names(), "where it was is not known"


def test_no_name_is_kept_for_an_instance_that_left_the_configuration() -> None:
    instances = configured()
    instances.hello("a", peer(1, "x"), True, SECOND, "x")
    instances.hello("a", elsewhere(2, "y"), True, SECOND, "y")
    instances.lost(peer(1, "x"))
    instances.adopt(Configuration())
    assert instances.reservation("a") is None
    assert instances.known["a"].peer == elsewhere(2, "y")
