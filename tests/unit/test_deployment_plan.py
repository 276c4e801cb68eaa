"""What a configuration changes about the cluster's instances, and who of them is missing."""

from __future__ import annotations

import pytest

from zeekfleet.broker.generations import SECOND
from zeekfleet.controller.instances import Instances
from zeekfleet.controller.plan import Plan, make_plan
from zeekfleet.model.management import Configuration, Instance
from zeekfleet.model.types import Address, Port
from zeekfleet.transport.bus import Peer


def instance(name: str, host: str = "0.0.0.0", port: int | None = None) -> Instance:
    return Instance(name, Address(host), None if port is None else Port(port))


def current(*instances: Instance) -> dict[str, Instance]:
    return {one.name: one for one in instances}


def test_instances_join_stay_move_and_leave() -> None:
    cluster = current(instance("c"), instance("b", "10.0.0.2", 2151), instance("a"), instance("gone"))
    wanted = (instance("new"), instance("a"), instance("b", "10.0.0.2", 2152), instance("c"))
    plan = make_plan(cluster, wanted)
    assert plan == Plan(join=("new",), stay=("a", "c"), move=("b",), leave=("gone",))
    assert str(plan) == "new joins; a, c stay; b moves; gone leaves"


def test_a_cluster_without_instances_has_an_empty_plan() -> None:
    assert make_plan({}, ()) == Plan()
    assert str(Plan()) == "no instances"


@pytest.mark.parametrize(
    ("present", "wanted", "moves"),
    [
        (instance("a"), instance("a"), False),
        (instance("a", "10.0.0.1"), instance("a"), False),  # an address that is left open is no other one
        (instance("a"), instance("a", "10.0.0.1"), False),
        (instance("a", "10.0.0.1"), instance("a", "10.0.0.2"), True),
        (instance("a", "10.0.0.1", 2151), instance("a", "10.0.0.1", 2152), True),
        (instance("a", "10.0.0.1"), instance("a", "10.0.0.1", 2151), True),
        (instance("a", "10.0.0.1", 2151), instance("a", "10.0.0.1"), True),
    ],
)
def test_an_instance_moves_when_its_address_or_port_changes(present: Instance, wanted: Instance, moves: bool) -> None:
    assert bool(make_plan(current(present), [wanted]).move) is moves


def peer(number: int, host: str = "10.0.0.1", *, port: int = 4711, dialled: bool = False) -> Peer:
    return Peer(number, "", host, f"{host}:{port}", dialled_for=instance("a", host, port) if dialled else None)


def test_an_instance_is_missing_until_its_agent_has_answered_the_welcome() -> None:
    instances = Instances(lambda: 0.0)
    wanted = [instance("a")]
    assert instances.missing(wanted) == {"a": "never connected"}
    instances.hello("a", peer(1), True, SECOND)
    assert instances.missing(wanted) == {"a": "does not answer its welcome"}
    link = instances.known["a"]
    instances.refused_us(link, "it serves another controller")
    assert instances.missing(wanted) == {"a": "refuses this controller: it serves another controller"}
    instances.welcomed(link)
    assert instances.missing(wanted) == {}
    instances.lost(link.peer)
    assert instances.missing(wanted)["a"].startswith("gone since ")


def test_a_refusal_is_forgotten_with_its_connection() -> None:
    instances = Instances()
    wanted = [instance("a")]
    instances.hello("a", peer(1), True, SECOND)
    instances.refused_us(instances.known["a"], "no")
    instances.lost(peer(1))
    instances.hello("a", peer(2), True, SECOND)
    assert instances.missing(wanted) == {"a": "does not answer its welcome"}


def test_a_moving_instance_is_missing_until_it_is_met_at_its_new_address() -> None:
    instances = Instances()
    instances.adopt(Configuration(instances=(instance("a", "10.0.0.1", 2151),)))
    instances.hello("a", peer(1, port=2151, dialled=True), False, SECOND)
    instances.welcomed(instances.known["a"])
    wanted = [instance("a", "10.0.0.1", 2152)]
    instances.look_for(wanted)
    assert instances.missing(wanted) == {"a": "not at 10.0.0.1:2152 yet"}
    instances.hello("a", peer(2, port=2152, dialled=True), False, SECOND)
    assert instances.missing(wanted) == {"a": "does not answer its welcome"}
