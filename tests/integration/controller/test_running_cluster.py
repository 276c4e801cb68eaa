"""Whatever keeps a deployment from being carried out leaves what runs alone."""

from __future__ import annotations

import asyncio
import time

import pytest
from scene import DEADLINE, Scene, ScriptedAgent, configuration, outcome_of, scene, step_of

from zeekfleet.broker.events import agent as agent_api
from zeekfleet.broker.events import checks
from zeekfleet.broker.events import controller as api
from zeekfleet.broker.events.deployments import DeploymentProgress
from zeekfleet.broker.events.presence import NotifySupervisor
from zeekfleet.broker.events.refusals import AgentRefused
from zeekfleet.broker.generations import FIRST
from zeekfleet.controller.deployment import Step
from zeekfleet.model.management import Configuration, Instance
from zeekfleet.model.types import Address, Port
from zeekfleet.store.interface import ConfigState
from zeekfleet.transport.bus import BusEvent, Delivery

SOON = 0.05
"""How long deployments wait for instances that never come."""


async def running(it: Scene, **dialled: int) -> tuple[dict[str, ScriptedAgent], Configuration]:
    """A cluster of a1, which dials or is dialled, and a2, which dials."""
    agents = {"a1": await it.agent("a1", port=dialled.get("a1")), "a2": await it.agent("a2")}
    await it.known(*(name for name in agents if name not in dialled))
    wanted = configuration("a1", "a2", ports=dialled)
    assert (await it.client.deploy_config(wanted)).ok
    for agent in agents.values():
        agent.asked.clear()
    return agents, wanted


async def goes_on(it: Scene, agents: dict[str, ScriptedAgent], deployed: Configuration) -> None:
    """Nobody was told to change anything, and the cluster can be worked with as before."""
    told = [name for agent in agents.values() for name in agent.names()]
    assert not {"AgentStandbyRequest", "DeployRequest", "SetConfigurationRequest"} & set(told)
    kept = it.store.get(ConfigState.DEPLOYED)
    assert kept is not None
    assert kept.id == deployed.id
    assert (await it.client.restart()).nodes == dict.fromkeys(("w-a1", "w-a2"), True)
    assert (await it.client.deploy_config(deployed)).ok
    assert all("DeployRequest" in agent.names() for agent in agents.values())


@pytest.mark.parametrize("check_first", [True, False])
@pytest.mark.parametrize("wanted", [("a9",), ("a1", "a9"), ("a1", "a2", "a9")])
async def test_an_instance_that_nobody_has_heard_of(wanted: tuple[str, ...], check_first: bool) -> None:
    async with scene(instance_wait=SOON, check_before_deploy=check_first) as it:
        agents, deployed = await running(it)
        news = await it.listener()
        cluster = configuration(*wanted)
        outcome = await it.client.deploy_config(cluster)
        assert outcome.errors == ("request timed out", "instance 'a9' is missing: never connected")
        assert outcome.nodes == ()
        told = await outcome_of(news, cluster.id)
        assert (told.success, told.missing) == (False, {"a9": "never connected"})
        await goes_on(it, agents, deployed)


async def test_an_instance_that_has_gone_is_told_with_the_time() -> None:
    async with scene(instance_wait=SOON) as it:
        agents, deployed = await running(it)
        third = await it.agent("a3")
        await it.known("a1", "a2", "a3")
        third.endpoint.hang_up("127.0.0.1", 2150)
        await it.known("a1", "a2")
        outcome = await it.client.deploy_config(configuration("a3"))
        assert outcome.errors[0] == "request timed out"
        assert outcome.errors[1].startswith("instance 'a3' is missing: gone since ")
        await goes_on(it, agents, deployed)


async def test_an_instance_that_is_never_reached_at_its_address() -> None:
    async with scene(instance_wait=SOON) as it:
        agents, deployed = await running(it)
        outcome = await it.client.deploy_config(configuration("a1", "b1", ports={"b1": 7009}))
        assert outcome.errors == ("request timed out", "instance 'b1' is missing: never connected")
        await goes_on(it, agents, deployed)


async def test_an_instance_under_the_address_of_another_costs_that_no_connection() -> None:
    async with scene(instance_wait=SOON) as it:
        agents, deployed = await running(it, a1=7001)
        (link,) = agents["a1"].endpoint.peers()
        outcome = await it.client.deploy_config(configuration("b1", ports={"b1": 7001}))
        assert outcome.errors == ("request timed out", "instance 'b1' is missing: never connected")
        assert agents["a1"].endpoint.peers() == (link,)
        await goes_on(it, agents, deployed)


async def test_an_instance_that_is_not_where_it_moves_to() -> None:
    async with scene(instance_wait=SOON) as it:
        agents, deployed = await running(it, a1=7001)
        outcome = await it.client.deploy_config(configuration("a1", "a2", ports={"a1": 7002}))
        assert outcome.errors == ("request timed out", "instance 'a1' is missing: not at 127.0.0.1:7002 yet")
        await goes_on(it, agents, deployed)


async def test_an_instance_that_moves_is_checked_where_it_moves_to() -> None:
    async with scene() as it:
        agents, deployed = await running(it, a1=7001)
        other = await it.agent("a1", port=7002)
        other.problems = (("w-a1",),)
        moved = configuration("a1", "a2", ports={"a1": 7002})
        assert (await it.client.deploy_config(moved)).errors == ("a1: w-a1",)
        assert other.names() == ["AgentWelcomeRequest", "AgentCheckRequest"]
        await goes_on(it, agents, deployed)
        # And when nothing speaks against it, the former agent lets go of its nodes.
        other.problems = ()
        assert (await it.client.deploy_config(moved)).ok
        await agents["a1"].was_asked(agent_api.AgentStandbyRequest)
        assert other.names()[-1] == "DeployRequest"
        assert "AgentStandbyRequest" not in other.names()


async def test_the_former_agent_of_an_instance_that_moves_lets_go_of_its_nodes_though_it_dials() -> None:
    async with scene() as it:
        agents, _ = await running(it)
        other = await it.agent("a1", port=7002)
        assert (await it.client.deploy_config(configuration("a1", "a2", ports={"a1": 7002}))).ok
        await agents["a1"].was_asked(agent_api.AgentStandbyRequest)
        assert other.names() == ["AgentWelcomeRequest", "AgentCheckRequest", "DeployRequest"]


@pytest.mark.parametrize("waits", [True, False])
async def test_an_agent_with_another_name_than_before_at_the_same_address(waits: bool) -> None:
    """It may be started under its new name before the deployment begins, or while that waits for it."""
    async with scene() as it:
        news = await it.listener()
        agents, _ = await running(it, a1=7001)
        await agents["a1"].end()
        wanted = configuration("b1", "a2", ports={"b1": 7001})
        deploying = asyncio.create_task(it.client.deploy_config(wanted)) if waits else None
        if waits:
            await step_of(news, Step.MEETING)
        renamed = await it.agent("b1", port=7001)
        if not waits:
            await it.known("a2", "b1")
        assert (await (deploying or it.client.deploy_config(wanted))).ok
        assert renamed.names() == ["AgentWelcomeRequest", "AgentCheckRequest", "DeployRequest"]


async def refused(agent: ScriptedAgent) -> None:
    await agent.was_asked(AgentRefused)
    agent.asked.clear()


async def test_an_agent_that_has_taken_the_name_of_another_is_met_where_that_instance_moves_to() -> None:
    """It was refused when it came. The other one has the name until the instance is moved."""
    async with scene() as it:
        agents, _ = await running(it, a1=7001)
        await agents["a1"].end()
        renamed = await it.agent("a2", port=7001)
        await refused(renamed)
        renamed.problems = (("w-a2",),)
        wanted = configuration("a2", ports={"a2": 7001})
        assert (await it.client.deploy_config(wanted)).errors == ("a2: w-a2",)
        assert renamed.names() == ["AgentWelcomeRequest", "AgentCheckRequest"]
        # The refused deployment has changed nothing: the name is the first one's.
        assert not {"AgentStandbyRequest", "DeployRequest"} & set(agents["a2"].names())
        assert (await it.client.deploy_config(configuration("a2"))).ok
        assert "DeployRequest" in agents["a2"].names()
        assert "DeployRequest" not in renamed.names()


async def test_the_first_agent_of_a_name_lets_go_of_its_nodes_when_a_renamed_one_has_it() -> None:
    async with scene() as it:
        agents, _ = await running(it, a1=7001)
        await agents["a1"].end()
        renamed = await it.agent("a2", port=7001)
        await refused(renamed)
        assert (await it.client.deploy_config(configuration("a2", ports={"a2": 7001}))).ok
        await agents["a2"].was_asked(agent_api.AgentStandbyRequest)
        assert renamed.names() == ["AgentWelcomeRequest", "AgentCheckRequest", "DeployRequest"]


async def test_an_agent_that_turns_out_to_be_the_same_keeps_its_nodes_when_it_moves() -> None:
    async with scene() as it:
        agents, _ = await running(it)
        await agents["a1"].endpoint.listen("127.0.0.1", 7001)
        assert (await it.client.deploy_config(configuration("a1", "a2", ports={"a1": 7001}))).ok
        assert "AgentStandbyRequest" not in agents["a1"].names()


async def test_a_refusal_of_the_first_generation_leaves_all_as_it_is() -> None:
    async with scene(instance_wait=SOON) as it:
        agents, deployed = await running(it)
        request = api.SetConfigurationRequest("r", Configuration("first", (Instance("a9"),)))
        answer = await it.asks(request, FIRST)
        assert isinstance(answer, api.SetConfigurationResponse)
        assert [(result.success, result.error) for result in answer.results] == [
            (False, "request timed out"),
            (False, "instance 'a9' is missing: never connected"),
        ]
        await goes_on(it, agents, deployed)


async def test_an_agent_that_does_not_answer_its_welcome_is_told_as_such() -> None:
    async with scene(instance_wait=SOON) as it:
        agents, deployed = await running(it)
        deaf = await it.agent("a3")
        await it.known("a1", "a2", "a3")
        deaf.endpoint.subscribe("nothing")  # its link is made anew, and hears it
        deaf.deaf = True
        outcome = await it.client.deploy_config(configuration("a3"))
        assert outcome.errors[0] == "request timed out"
        assert outcome.errors[1].startswith("instance 'a3' is missing: ")
        await goes_on(it, agents, deployed)


class Leaver(ScriptedAgent):
    """One whose fellow goes while it checks a configuration."""

    fellow: ScriptedAgent
    gone: asyncio.Event

    async def _reply(self, delivery: Delivery) -> None:
        if isinstance(delivery.event, checks.AgentCheckRequest) and not self.gone.is_set():
            self.fellow.endpoint.hang_up("127.0.0.1", 2150)
            await self.gone.wait()
        await super()._reply(delivery)


@pytest.mark.parametrize("comes_back", [True, False])
async def test_an_instance_that_goes_while_others_check_is_waited_for(comes_back: bool) -> None:
    async with scene(instance_wait=DEADLINE if comes_back else 0.05) as it:
        news = await it.listener()
        one, two = await it.agent("a1"), await it.agent("a2")
        one.__class__ = Leaver
        one.fellow, one.gone = two, asyncio.Event()  # type: ignore[attr-defined]
        await it.known("a1", "a2")
        wanted = configuration("a1", "a2")
        deploying = asyncio.create_task(it.client.deploy_config(wanted))
        await one.was_asked(checks.AgentCheckRequest)
        await it.known("a1")
        one.gone.set()  # type: ignore[attr-defined]
        if comes_back:
            await news.wait_for(lambda received: _is_awaited(received, "a2"), DEADLINE)
            two.endpoint.dial("127.0.0.1", 2150)
        outcome = await deploying
        assert outcome.ok == comes_back
        assert one.deployed.is_set() == comes_back
        if not comes_back:
            assert outcome.errors[0] == "request timed out"
            assert outcome.errors[1].startswith("instance 'a2' is missing: gone since ")


async def test_a_connection_that_was_made_in_vain_is_closed_however_often_instances_were_waited_for() -> None:
    async with scene() as it:
        news = await it.listener()
        one, two = await it.agent("b1", port=7001), await it.agent("a2")
        one.__class__ = Leaver
        one.fellow, one.gone = two, asyncio.Event()  # type: ignore[attr-defined]
        await it.known("a2")
        wanted = configuration("b1", "a2", ports={"b1": 7001})
        deploying = asyncio.create_task(it.client.deploy_config(wanted))
        await one.was_asked(checks.AgentCheckRequest)
        await it.known("b1")
        one.gone.set()  # type: ignore[attr-defined]
        await news.wait_for(lambda received: _is_awaited(received, "a2"), DEADLINE)
        one.problems = (("w-b1",),)
        two.endpoint.dial("127.0.0.1", 2150)
        assert (await deploying).errors == ("b1: w-b1",)
        async with asyncio.timeout(DEADLINE):
            await it.known("a2")


def _is_awaited(received: BusEvent, name: str) -> bool:
    event = received.event if isinstance(received, Delivery) else None
    return isinstance(event, DeploymentProgress) and name in event.instances


async def test_an_agent_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for deadline in ("handover.controller_stop_deadline", "checking.controller_deadline"):
        monkeypatch.setattr(f"zeekfleet.controller.{deadline}", lambda _, base: base)
    async with scene(request_timeout=0.2) as it:
        one, two = await it.agent("a1"), await it.agent("a2")
        await it.known("a1", "a2")
        one.silent = True
        silent = await it.client.deploy_config(configuration("a1", "a2"))
        assert silent.errors == (
            "request timed out",
            "instance 'a1' is missing: connected, but its agent does not answer",
        )
        assert not two.deployed.is_set()
        one.silent = False
        two.may_answer.clear()
        hanging = await it.client.deploy_config(configuration("a1", "a2"))
        assert hanging.errors[:2] == (
            "request timed out",
            "instance 'a2' is missing: connected, but its agent does not answer",
        )
        assert len(hanging.errors) == 2  # nothing was deployed before that could come back
        two.may_answer.set()
        assert (await it.client.deploy_config(first := configuration("a1", "a2"))).ok
        two.may_answer.clear()
        in_part = await it.client.deploy_config(configuration("a1", "a2"))
        assert f"deployed in part: configuration {first.id} stays the deployed one" in in_part.errors[2]


async def test_an_agent_without_its_supervisor_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zeekfleet.controller.checking.controller_deadline", lambda _, base: base)
    async with scene(request_timeout=0.2) as it:
        one = await it.agent("a1")
        await it.known("a1")
        one.silent = True
        one.tell(NotifySupervisor("a1", time.time()))
        told = await it.client.deploy_config(configuration("a1"))
        assert told.errors[0] == "request timed out"
        assert told.errors[1].startswith("instance 'a1' is missing: its supervisor is away since ")


async def test_ports_are_assigned_once_addresses_are_known_and_free_ones_only() -> None:
    """Two agents on one host, one of them known when the configuration was staged and one not."""
    async with scene() as it:
        first = await it.agent("a1")
        first.taken = (9001,)
        await it.known("a1")
        dialled = Instance("b1", Address("127.0.0.1"), Port(7001))
        wanted = configuration("a1", "b1", "b2", ports={"b1": dialled.listen_port.number if dialled.listen_port else 0})
        assert (await it.client.stage(wanted)).ok
        await it.agent("b1", port=7001)
        await it.agent("b2")
        await it.known("a1", "b2")
        assert (await it.client.deploy()).ok
        deployed = it.store.get(ConfigState.DEPLOYED)
        assert deployed is not None
        ports = [node.metrics_port.number for node in deployed.nodes if node.metrics_port]
        assert sorted(ports) == [9000, 9002, 9003]
        # What runs keeps its port when another would be free now.
        first.taken = ()
        assert (await it.client.deploy_config(configuration("a1", "b2"))).ok
        again = it.store.get(ConfigState.DEPLOYED)
        assert again is not None
        former = {node.name: node.metrics_port for node in deployed.nodes}
        assert {node.name: node.metrics_port for node in again.nodes} == {
            name: port for name, port in former.items() if name != "w-b1"
        }
