"""Which connections the controller has while a deployment goes on, and which agents are told to stand by."""

from __future__ import annotations

from zeekfleet.broker.generations import SECOND
from zeekfleet.controller.agent_link import AgentLink
from zeekfleet.controller.dialling import Dialling
from zeekfleet.controller.instances import Instances
from zeekfleet.controller.meeting import Meeting
from zeekfleet.controller.membership import Membership
from zeekfleet.model.management import Configuration, Instance
from zeekfleet.model.types import Address, Port
from zeekfleet.transport.bus import Peer
from zeekfleet.transport.encryption import PlainText
from zeekfleet.waiting import Signal


class Lines:
    """Replaces the connections; records which are open, and every change."""

    def __init__(self) -> None:
        self.open: dict[int, str] = {}
        self.changes: list[str] = []

    def dial(self, _host: str, port: int, *, publish: tuple[str, ...], **_: object) -> None:
        self.open[port] = publish[0].rpartition("/")[2]
        self.changes.append(f"dial {port}")

    def hang_up(self, _host: str, port: int) -> None:
        del self.open[port]
        self.changes.append(f"hang up {port}")


class Welcomes:
    """Replaces the welcoming of agents; records which are told to stand by."""

    def __init__(self) -> None:
        self.standing_by: list[str] = []

    def welcome(self, _name: str) -> None:
        pass

    def stand_by(self, link: AgentLink | None) -> None:
        if link is not None:
            self.standing_by.append(link.peer.place)


class Collaborators:
    """A membership, with replacements for what it uses."""

    def __init__(self) -> None:
        self.instances, self.lines, self.welcomes = Instances(), Lines(), Welcomes()
        dialling = Dialling(self.lines, PlainText())  # type: ignore[arg-type]
        self.membership = Membership(self.instances, dialling, self.welcomes, Signal())  # type: ignore[arg-type]

    def adopt(self, configuration: Configuration) -> Meeting:
        return self.membership.adopt(configuration, self.membership.plan(configuration))

    def comes(self, name: str, number: int, port: int) -> None:
        """An agent says hello on a connection that the controller has made."""
        peer = Peer(
            number, "", "10.0.0.1", f"10.0.0.1:{port}", dialled_for=Instance(name, Address("10.0.0.1"), Port(port))
        )
        self.instances.hello(name, peer, False, SECOND, f"endpoint {number}")
        self.instances.welcomed(self.instances.known[name])


def cluster(**ports: int) -> Configuration:
    return Configuration(instances=tuple(Instance(name, Address("10.0.0.1"), Port(p)) for name, p in ports.items()))


def test_connections_to_instances_of_a_refused_deployment_are_closed() -> None:
    parts = Collaborators()
    parts.adopt(cluster(a=1))
    parts.comes("a", 1, 1)
    wanted = cluster(a=1, b=2)
    with parts.membership.meeting(wanted.instances) as meeting:
        assert parts.lines.open == {1: "a", 2: "b"}
        parts.comes("b", 2, 2)
        assert parts.membership.missing(meeting) == {}
    assert parts.lines.changes == ["dial 1", "dial 2", "hang up 2"]
    assert parts.instances.ready == {"a"}
    assert not parts.instances.is_welcomed(parts.instances.known["b"])
    assert parts.welcomes.standing_by == []


def test_adopted_instances_stay_connected_and_those_that_leave_stand_by_and_are_hung_up_on() -> None:
    parts = Collaborators()
    parts.adopt(cluster(a=1, b=2))
    parts.comes("a", 1, 1)
    parts.comes("b", 2, 2)
    wanted = cluster(b=2, c=3)
    with parts.membership.meeting(wanted.instances):
        parts.comes("c", 3, 3)
        parts.adopt(wanted)
        assert parts.lines.open == {2: "b", 3: "c"}
    assert parts.lines.changes == ["dial 1", "dial 2", "dial 3", "hang up 1"]
    assert parts.welcomes.standing_by == ["10.0.0.1:1"]
    assert parts.instances.ready == {"b", "c"}


def test_the_former_place_of_an_instance_that_moves_is_connected_until_the_end() -> None:
    parts = Collaborators()
    parts.adopt(cluster(a=1))
    parts.comes("a", 1, 1)
    wanted = cluster(a=2)
    with parts.membership.meeting(wanted.instances) as meeting:
        assert parts.membership.missing(meeting) == {"a": "not at 10.0.0.1:2 yet"}
        parts.comes("a", 2, 2)
        assert parts.adopt(wanted) == Meeting(former=cluster(a=1).instances)
        assert parts.lines.open == {1: "a", 2: "a"}
        assert parts.welcomes.standing_by == ["10.0.0.1:1"]
    assert parts.lines.open == {2: "a"}


def test_a_place_that_another_instance_has_is_dialled_once() -> None:
    parts = Collaborators()
    parts.adopt(cluster(a=1))
    with parts.membership.meeting(cluster(b=1).instances):
        assert parts.lines.open == {1: "a"}
    assert parts.lines.changes == ["dial 1"]
