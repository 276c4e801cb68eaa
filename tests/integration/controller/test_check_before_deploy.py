"""What the controller asks of which agents before it deploys, and what it leaves alone when they find a problem."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest
from scene import DEADLINE, ScriptedAgent, configuration, scene

from zeekfleet.broker import topics
from zeekfleet.broker.events import checks
from zeekfleet.controller.controller import Controller
from zeekfleet.controller.options import ControllerOptions
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Node
from zeekfleet.planning.deadlines import controller_deadline
from zeekfleet.store.interface import ConfigState
from zeekfleet.store.memory import MemoryStore
from zeekfleet.transport.memory import MemoryBus, MemoryNetwork


async def test_agents_are_asked_before_they_are_sent_anything() -> None:
    async with scene() as it:
        one, two = await it.agent("a1"), await it.agent("a2")
        await it.known("a1", "a2")
        outcome = await it.client.deploy_config(configuration("a1", "a2"))
        assert outcome.ok
        for agent in (one, two):
            assert agent.names() == ["AgentWelcomeRequest", "AgentCheckRequest", "DeployRequest"]
        asked, sent = one.asked[-2:]
        assert asked.config == sent.config  # type: ignore[attr-defined] # addresses and ports filled in
        assert asked.deployed is None  # type: ignore[attr-defined]


async def test_a_problem_leaves_the_cluster_as_it_is() -> None:
    async with scene() as it:
        one, two, three = [await it.agent(name) for name in ("a1", "a2", "a3")]
        await it.known("a1", "a2", "a3")
        first = configuration("a1", "a2")
        assert (await it.client.deploy_config(first)).ok
        for agent in (one, two, three):
            agent.asked.clear()
        three.problems = (("w-a3",), ("w-a3", "other"))
        outcome = await it.client.deploy_config(configuration("a1", "a3"))
        assert not outcome.ok
        assert outcome.errors == ("a3: w-a3", "a3: w-a3, other")
        assert outcome.nodes == ()
        assert outcome.id is None
        # a2 would leave and is told nothing; a3 has heard no more than a welcome.
        assert one.names() == ["AgentCheckRequest"]
        assert one.asked[0].deployed.id == first.id  # type: ignore[attr-defined]
        assert two.asked == []
        assert three.names() == ["AgentWelcomeRequest", "AgentCheckRequest"]
        deployed = it.store.get(ConfigState.DEPLOYED)
        assert deployed is not None
        assert deployed.id == first.id
        # And once the problem is gone, all goes on.
        three.problems = ()
        assert (await it.client.deploy_config(configuration("a1", "a3"))).ok
        await it.client.get_instances()
        assert "AgentStandbyRequest" in two.names()


async def test_an_instance_that_is_dialled_is_asked_and_let_go_again() -> None:
    async with scene() as it:
        one = await it.agent("b1", port=7001)
        one.problems = (("w-b1",),)
        wanted = configuration("b1", ports={"b1": 7001})
        assert (await it.client.deploy_config(wanted)).errors == ("b1: w-b1",)
        assert one.names() == ["AgentWelcomeRequest", "AgentCheckRequest"]
        await it.known()
        one.problems = ()
        assert (await it.client.deploy_config(wanted)).ok


async def test_agents_that_cannot_check_hold_nothing_up() -> None:
    async with scene() as it:
        old, new = await it.agent("a1", able=False), await it.agent("a2")
        await it.known("a1", "a2")
        started = time.monotonic()
        assert (await it.client.deploy_config(configuration("a1", "a2"))).ok
        assert time.monotonic() - started < DEADLINE / 3
        assert old.names() == ["AgentWelcomeRequest", "DeployRequest"]
        assert new.names() == ["AgentWelcomeRequest", "AgentCheckRequest", "DeployRequest"]


async def test_an_agent_that_does_not_answer_the_check_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    hasty = partial(controller_deadline, agent_base=0.1)  # the controller allows for agents with the default one
    monkeypatch.setattr("zeekfleet.controller.checking.controller_deadline", hasty)
    async with scene(request_timeout=0.1) as it:
        one = await it.agent("a1")
        await it.known("a1")
        one.silent = True
        outcome = await it.client.deploy_config(configuration("a1"))
        assert outcome.errors[0] == "request timed out"
        assert "DeployRequest" not in one.names()


async def test_the_check_can_be_switched_off() -> None:
    async with scene(check_before_deploy=False) as it:
        one = await it.agent("a1")
        one.problems = (("w-a1",),)
        await it.known("a1")
        assert (await it.client.deploy_config(configuration("a1"))).ok
        assert one.names() == ["AgentWelcomeRequest", "DeployRequest"]
        # On request it is made all the same.
        assert not (await it.client.check(configuration("a1"))).ok


async def test_what_is_deployed_again_by_itself_is_not_checked() -> None:
    network = MemoryNetwork()
    store = MemoryStore()
    store.put({ConfigState.DEPLOYED: configuration("a1")})
    async with MemoryBus(network, "controller") as endpoint, MemoryBus(network, "a1") as theirs:
        await endpoint.listen("127.0.0.1", 2150)
        agent = ScriptedAgent("a1", theirs)
        agent.problems = (("w-a1",),)
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(DEADLINE):
            running = [
                tasks.create_task(Controller(ControllerOptions("c"), endpoint, endpoint, store).run()),
                tasks.create_task(agent.serve()),
            ]
            theirs.dial("127.0.0.1", 2150)
            await agent.deployed.wait()
            for task in running:
                task.cancel()
        assert agent.names() == ["AgentWelcomeRequest", "DeployRequest"]


async def test_a_check_on_request_tells_all_and_touches_nothing() -> None:
    async with scene() as it:
        one, old, two = await it.agent("a1"), await it.agent("a2", able=False), await it.agent("a3")
        await it.known("a1", "a2", "a3")
        two.problems = (("w-a3",),)
        outcome = await it.client.check(configuration("a1", "a2", "a3", "a4"))
        assert not outcome.ok
        assert outcome.instances == ("a1",)
        assert list(outcome.unchecked) == ["a2"]
        assert [(finding.instance, finding.nodes) for finding in outcome.findings] == [("a3", ("w-a3",)), ("a4", ())]
        assert one.names() == ["AgentCheckRequest"]
        assert old.asked == []
        assert it.store.get(ConfigState.STAGED) is None
        stray = Configuration(nodes=(Node("w", "nowhere", ClusterRole.WORKER, State.PENDING),))
        assert [finding.error for finding in (await it.client.check(stray)).findings] == [
            "node 'w' has undeclared instance name 'nowhere'"
        ]
        assert (await it.client.check(Configuration())).ok


async def test_nobody_can_speak_for_another_agent() -> None:
    async with scene() as it:
        old, new = await it.agent("a1", able=False), await it.agent("a2")
        await it.known("a1", "a2")
        new.endpoint.publish(topics.agent("a1"), checks.NotifyCapabilities("a1", frozenset({checks.CHECK})))
        new.endpoint.publish(topics.agent("a2"), checks.NotifyCapabilities("a1", frozenset({checks.CHECK})))
        assert (await it.client.check(configuration("a2"))).ok  # the answer comes after what a2 sent before
        outcome = await it.client.check(configuration("a1"))
        assert list(outcome.unchecked) == ["a1"]
        assert "AgentCheckRequest" not in old.names()
