"""Which requests an agent accepts from which controller."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from zeekfleet.agent.permission import Permission
from zeekfleet.agent.served_controller import ServedController
from zeekfleet.broker.events import agent as api
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.refusals import AgentRefused, DeploymentNumber
from zeekfleet.broker.events.stops import AgentHurry
from zeekfleet.model.management import Configuration
from zeekfleet.transport.bus import Peer
from zeekfleet.transport.service import Context

FIRST = Context(Peer(1, "c1", "127.0.0.1", "127.0.0.1:1001", endpoint="x"))
SECOND = Context(Peer(2, "c2", "127.0.0.1", "127.0.0.1:1002", endpoint="y"))
HELD = "instance 'a1': held by controller 'c1' at 127.0.0.1"


class Scene:
    def __init__(self, directory: Path) -> None:
        self.released: list[Peer] = []
        self.served_controller = ServedController(directory / "controller.json", lambda: None, 3600.0)
        self.permission = Permission("a1", self.served_controller, self.released.append)


@pytest.fixture
async def scene(tmp_path: Path) -> Iterator[Scene]:  # type: ignore[misc]
    made = Scene(tmp_path)
    yield made
    made.served_controller.close()


@pytest.mark.parametrize(
    "order",
    [
        api.AgentWelcomeRequest("r"),
        api.AgentStandbyRequest("r"),
        api.DeployRequest("r", Configuration()),
        api.SetConfigurationRequest("r", Configuration()),
        api.RestartRequest("r"),
        AgentHurry(frozenset()),
        api.NodeDispatchRequest("r", ("set_option", "a", "b")),
        api.NodeDispatchRequest("r", ()),
    ],
    ids=lambda event: type(event).__name__,
)
async def test_only_the_first_controller_may_give_orders(scene: Scene, order: Event) -> None:
    assert scene.permission.problem(api.AgentWelcomeRequest("w"), FIRST) is None
    assert scene.permission.problem(order, SECOND) == HELD
    assert scene.permission.problem(order, FIRST) is None


@pytest.mark.parametrize("view", [api.GetNodesRequest("r"), api.NodeDispatchRequest("r", ("get_id_value", "x"))])
async def test_every_controller_may_read(scene: Scene, view: Event) -> None:
    assert scene.permission.problem(api.AgentWelcomeRequest("w"), FIRST) is None
    assert scene.permission.problem(view, SECOND) is None


async def test_after_standby_the_next_controller_may_give_orders(scene: Scene) -> None:
    assert scene.permission.problem(api.AgentWelcomeRequest("w"), FIRST) is None
    assert scene.permission.problem(api.AgentStandbyRequest(""), FIRST) is None
    assert scene.released == [FIRST.peer]
    assert scene.permission.problem(api.AgentWelcomeRequest("w"), SECOND) is None


async def test_a_deployment_older_than_the_last_one_is_refused(scene: Scene) -> None:
    for reqid, number in (("old", 1), ("new", 2)):
        scene.permission.number(DeploymentNumber(reqid, "x", number), FIRST)
    assert scene.permission.problem(api.DeployRequest("new", Configuration()), FIRST) is None
    problem = scene.permission.problem(api.DeployRequest("old", Configuration()), FIRST)
    assert problem == "instance 'a1': deployment 1 is older than deployment 2, which has come already"


async def test_refusals_are_logged_as_errors_once(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    scene.permission.problem(api.AgentWelcomeRequest("w"), FIRST)
    caplog.clear()
    for _ in range(2):
        scene.permission.problem(api.RestartRequest("r"), SECOND)
    for _ in range(2):
        scene.permission.refused(AgentRefused("a1", "another is there"), SECOND)
    assert [(line.levelname, line.getMessage()) for line in caplog.records] == [
        ("ERROR", "orders of 'c2' at 127.0.0.1:1002 are refused: instance a1: held by controller 'c1' at 127.0.0.1"),
        ("DEBUG", "orders of 'c2' at 127.0.0.1:1002 are refused: instance a1: held by controller 'c1' at 127.0.0.1"),
        ("ERROR", "the controller at 127.0.0.1:1002 refuses this agent, a1: another is there"),
    ]
