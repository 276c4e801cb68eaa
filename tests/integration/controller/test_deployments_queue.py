"""Deployments wait for each other, give way, are given up, and are answered as each client can wait."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest
from scene import DEADLINE, Scene, ScriptedAgent, configuration, outcome_of, scene, step_of

from support.recorder import Recorder
from zeekfleet.broker.events import agent as agent_api
from zeekfleet.broker.events import controller as api
from zeekfleet.broker.events.deployments import (
    AbortDeploymentRequest,
    AbortDeploymentResponse,
    DeploymentOutcome,
    DeploymentProgress,
    NotifyNodeActions,
)
from zeekfleet.broker.events.notifications import NotificationKept
from zeekfleet.broker.events.stops import NotifyNodeStopping
from zeekfleet.client.verbs.deploy import Deployed
from zeekfleet.controller import turns
from zeekfleet.controller.deployment import Deployment, Step
from zeekfleet.controller.deployment_queue import DeploymentQueue
from zeekfleet.controller.notifications import NotificationKeeper
from zeekfleet.controller.progress_timeouts import ProgressTimeouts
from zeekfleet.errors import StoreError, TransportError
from zeekfleet.model.deployments import NodeAction
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Node, Result
from zeekfleet.model.notifications import Notification, NotificationKind
from zeekfleet.store.interface import ConfigState
from zeekfleet.store.memory import MemoryStore
from zeekfleet.transport.bus import BusEvent, Delivery
from zeekfleet.transport.memory import MemoryBus, MemoryNetwork

LONG = 3600.0
"""How long deployments wait for instances where a test ends that itself."""


async def deploy(it: Scene, reqid: str) -> tuple[Result, ...]:
    """As zeek-client does it, which hears nothing of progress."""
    answer = await it.asks(api.DeployRequest(reqid))
    assert isinstance(answer, api.DeployResponse)
    return answer.results


async def abort(it: Scene, deployment: str = "") -> Result:
    answer = await it.asks(AbortDeploymentRequest("abort", deployment))
    assert isinstance(answer, AbortDeploymentResponse)
    return answer.result


async def test_what_the_controller_deploys_by_itself_gives_way_to_a_client() -> None:
    async with scene(instance_wait=LONG) as it:
        one = await it.agent("a1")
        await it.known("a1")
        assert (await it.client.deploy_config(configuration("a1"))).ok
        # It comes back, is given what is deployed, and takes its time.
        one.may_answer.clear()
        one.endpoint.hang_up("127.0.0.1", 2150)
        await it.known()
        one.endpoint.dial("127.0.0.1", 2150)
        await one.was_asked(agent_api.DeployRequest, 2)
        wanted = configuration("a1")
        assert (await it.client.stage(wanted)).ok
        news = await it.listener()
        answer = asyncio.create_task(deploy(it, "r"))
        await step_of(news, Step.HANDING_OVER, "r")
        one.may_answer.set()
        assert [result.success for result in await answer] == [True, True]
        deployed = it.store.get(ConfigState.DEPLOYED)
        assert deployed is not None
        assert deployed.id == wanted.id


async def test_what_gave_way_is_deployed_again_when_the_client_fails() -> None:
    async with scene(instance_wait=0.05) as it:
        one = await it.agent("a1")
        await it.known("a1")
        first = configuration("a1")
        assert (await it.client.deploy_config(first)).ok
        one.may_answer.clear()
        one.endpoint.hang_up("127.0.0.1", 2150)
        await it.known()
        one.endpoint.dial("127.0.0.1", 2150)
        await one.was_asked(agent_api.DeployRequest, 2)
        assert not (await it.client.deploy_config(configuration("a9"))).ok
        one.may_answer.set()
        await one.was_asked(agent_api.DeployRequest, 3)
        last = [event for event in one.asked if isinstance(event, agent_api.DeployRequest)][-1]
        assert last.config.id == first.id


async def come_back(it: Scene, agent: ScriptedAgent) -> None:
    """The agent's connection ends, and it connects again: what is deployed is deployed once more."""
    agent.endpoint.hang_up("127.0.0.1", 2150)
    await it.known()
    agent.endpoint.dial("127.0.0.1", 2150)


@contextmanager
def unreadable(store: MemoryStore) -> Iterator[None]:
    """Nothing can be read from the store meanwhile."""

    def fail(_state: ConfigState) -> NoReturn:
        raise StoreError("the disk is gone")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "get", fail)
        yield


async def test_a_store_that_cannot_be_read_fails_a_deployment_and_the_controller_lives_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scene() as it:
        news = await it.listener()
        one = await it.agent("a1")
        await it.known("a1")
        wanted = configuration("a1")
        assert (await it.client.deploy_config(wanted)).ok
        with unreadable(it.store):
            await come_back(it, one)
            notification = await _notified_of_deployment(news, success=False)
            assert notification.message == "what is deployed is not deployed again: the disk is gone"
            assert [result.error for result in await deploy(it, "r")] == ["the disk is gone"]
        (record,) = [record for record in caplog.records if record.getMessage() == notification.message]
        assert (record.levelname, record.kind) == ("ERROR", "deployment")  # type: ignore[attr-defined]
        # Once the store can be read again, so is what is deployed.
        await come_back(it, one)
        await one.was_asked(agent_api.DeployRequest, 2)
        last = [event for event in one.asked if isinstance(event, agent_api.DeployRequest)][-1]
        assert last.config.id == wanted.id


async def test_what_could_not_be_read_is_deployed_again_where_a_clients_deployment_fails() -> None:
    """No instance needs to come for that."""
    async with scene(instance_wait=0.05) as it:
        news = await it.listener()
        one = await it.agent("a1")
        await it.known("a1")
        wanted = configuration("a1")
        assert (await it.client.deploy_config(wanted)).ok
        with unreadable(it.store):
            await come_back(it, one)
            await _notified_of_deployment(news, success=False)
        assert not (await it.client.deploy_config(configuration("a9"))).ok
        await one.was_asked(agent_api.DeployRequest, 2)
        last = [event for event in one.asked if isinstance(event, agent_api.DeployRequest)][-1]
        assert last.config.id == wanted.id


async def _notified_of_deployment(news: Recorder, *, success: bool) -> Notification:
    def kept(received: BusEvent) -> Notification | None:
        event = received.event if isinstance(received, Delivery) else None
        return event.notification if isinstance(event, NotificationKept) else None

    def matches(received: BusEvent) -> bool:
        notification = kept(received)
        return (
            notification is not None
            and notification.kind == NotificationKind.DEPLOYMENT
            and notification.success == success
        )

    notification = kept(await news.wait_for(matches, DEADLINE))
    assert notification is not None
    return notification


async def test_what_the_controller_changes_by_itself_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with scene() as it:
        news = await it.listener()
        one = await it.agent("a1")
        await it.known("a1")
        wanted = configuration("a1")
        assert (await it.client.deploy_config(wanted)).ok
        await outcome_of(news, wanted.id)
        one.may_answer.clear()
        one.endpoint.hang_up("127.0.0.1", 2150)
        await it.known()
        one.endpoint.dial("127.0.0.1", 2150)
        await one.was_asked(agent_api.DeployRequest, 2)
        request = [event for event in one.asked if isinstance(event, agent_api.DeployRequest)][-1]
        actions = (NodeAction("w-a1", "a1", "restart", ("env",)),)
        one.tell(NotifyNodeActions("a1", request.reqid, wanted.id, actions))
        one.may_answer.set()

        def is_told(received: BusEvent) -> bool:
            event = received.event if isinstance(received, Delivery) else None
            return isinstance(event, DeploymentOutcome) and event.actions == actions

        await news.wait_for(is_told, DEADLINE)
    (record,) = [record for record in caplog.records if "deployed again" in record.getMessage()]
    assert record.getMessage().endswith(": success (w-a1 restarted (env))")
    assert record.kind == "deployment"  # type: ignore[attr-defined]


async def test_who_hears_of_progress_waits_for_its_turn_and_others_are_told_who_is_before_them() -> None:
    async with scene(instance_wait=LONG) as it:
        news = await it.listener()
        first, second = await it.another_client(), await it.another_client()
        waiting, known = configuration("a9"), configuration("a1")
        one = await it.agent("a1")
        await it.known("a1")
        assert (await first.stage(waiting)).ok
        earlier = asyncio.create_task(first.deploy())
        meeting = await step_of(news, Step.MEETING)
        assert meeting.instances == {"a9": "never connected"}
        assert (await second.stage(known)).ok
        later = asyncio.create_task(second.deploy())
        queued = await step_of(news, Step.QUEUED)
        while queued.config_id != known.id:
            queued = await _next_queued(it, known.id)
        assert queued.place == 1
        assert [result.error for result in await deploy(it, "third")] == [
            f"earlier deployment {meeting.reqid} still pending"
        ]
        assert (await abort(it)).success
        assert not (await earlier).ok
        assert (await later).ok
        assert one.names()[-1] == "DeployRequest"


async def _next_queued(it: Scene, config_id: str) -> DeploymentProgress:
    news = await it.listener()

    def matches(received: BusEvent) -> bool:
        event = received.event if isinstance(received, Delivery) else None
        return isinstance(event, DeploymentProgress) and event.config_id == config_id

    received = await news.wait_for(matches, DEADLINE)
    assert isinstance(received, Delivery)
    assert isinstance(received.event, DeploymentProgress)
    return received.event


async def test_not_more_than_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MAX_WAITING", 1)
    async with scene(instance_wait=LONG) as it:
        news = await it.listener()
        client = await it.another_client()
        assert (await client.stage(configuration("a9"))).ok
        answers = [asyncio.create_task(client.deploy())]
        await step_of(news, Step.MEETING)
        answers += [asyncio.create_task(client.deploy()) for _ in range(2)]
        done, _ = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        refused: Deployed = done.pop().result()
        assert refused.errors == ("too many deployments are waiting (1); try again later",)
        for _ in range(2):
            assert (await abort(it)).success
        await asyncio.gather(*answers)


async def test_a_deployment_that_waits_for_an_instance_is_given_up_and_nothing_was_changed() -> None:
    async with scene(instance_wait=LONG) as it:
        news = await it.listener()
        one = await it.agent("a1")
        await it.known("a1")
        assert (await it.client.deploy_config(configuration("a1"))).ok
        one.asked.clear()
        assert (await it.client.stage(configuration("a9"))).ok
        answer = asyncio.create_task(deploy(it, "r"))
        await step_of(news, Step.MEETING, "r")
        told = await abort(it)
        assert told.data.data == "deployment r was given up while waiting for instances a9; nothing was changed"
        (result,) = await answer
        assert result.error.startswith("deployment r was given up by ")  # type: ignore[union-attr]
        assert one.asked == []
        assert (await abort(it)).error == "no deployment is under way"
        assert (await abort(it, "r")).error == "no deployment r is under way"


async def test_a_deployment_whose_agent_hangs_is_given_up_and_what_that_leaves_is_told() -> None:
    async with scene() as it:
        news = await it.listener()
        one = await it.agent("a1")
        await it.known("a1")
        one.may_answer.clear()
        assert (await it.client.stage(configuration("a1"))).ok
        answer = asyncio.create_task(deploy(it, "r"))
        await step_of(news, Step.HANDING_OVER, "r")
        await one.was_asked(agent_api.DeployRequest)
        told = await abort(it, "r")
        assert "what its agents have begun goes on (1 node was not up yet)" in told.data.data
        assert not any(result.success for result in await answer)
        one.may_answer.set()
        assert (await it.client.deploy()).ok


async def test_a_client_that_leaves_gives_up_waiting_for_instances_and_not_work() -> None:
    async with scene(instance_wait=LONG) as it:
        news = await it.listener()
        one = await it.agent("a1")
        await it.known("a1")
        leaving = await it.another_client()
        waiting = configuration("a9")
        assert (await leaving.stage(waiting)).ok
        abandoned = asyncio.create_task(leaving.deploy())
        await step_of(news, Step.MEETING)
        await leaving.__aexit__(None, None, None)
        assert "the client that asked for it is gone" in (await outcome_of(news, waiting.id)).errors[0]
        with pytest.raises(TransportError):
            await abandoned
        # Where agents are at work, they finish it.
        leaving = await it.another_client()
        one.may_answer.clear()
        wanted = configuration("a1")
        assert (await leaving.stage(wanted)).ok
        abandoned = asyncio.create_task(leaving.deploy())
        await one.was_asked(agent_api.DeployRequest)
        await leaving.__aexit__(None, None, None)
        one.may_answer.set()
        assert (await outcome_of(news, wanted.id)).success
        with pytest.raises(TransportError):
            await abandoned


async def test_a_client_that_cannot_wait_is_told_what_is_known_and_the_work_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with scene() as it:
        news = await it.listener()
        one = await it.agent("a1")
        await it.known("a1")
        one.may_answer.clear()
        wanted = Configuration(
            instances=configuration("a1").instances,
            nodes=tuple(Node(name, "a1", ClusterRole.WORKER, State.PENDING) for name in ("w1", "w2", "w3")),
        )
        assert (await it.client.stage(wanted)).ok
        ahead = await it.another_client()
        patient = asyncio.create_task(ahead.deploy())
        await one.was_asked(agent_api.DeployRequest)
        (request,) = [event for event in one.asked if isinstance(event, agent_api.DeployRequest)]
        actions = (NodeAction("w1", "a1", "keep"), NodeAction("w2", "a1", "start"), NodeAction("w3", "a1", "start"))
        one.tell(NotifyNodeActions("a1", request.reqid, wanted.id, actions))
        one.tell(agent_api.NotifyChange("a1", wanted.nodes[1], State.PENDING, State.RUNNING))

        def matches(received: BusEvent) -> bool:
            event = received.event if isinstance(received, Delivery) else None
            return isinstance(event, DeploymentProgress) and event.nodes == ("w3",) and event.actions == actions

        await news.wait_for(matches, DEADLINE)
        one.may_answer.set()
        assert (await patient).ok
        assert (await outcome_of(news, wanted.id)).actions == actions
        # And the same by somebody who does not hear of it, and is answered at once.
        monkeypatch.setattr("zeekfleet.controller.deployment_requests.ZEEK_CLIENT_ANSWER", 0.0)
        one.may_answer.clear()
        later = renewed(wanted)
        assert (await it.client.stage(later)).ok
        results = await deploy(it, "r")
        assert (results[0].success, results[0].error) == (False, "request timed out")
        one.may_answer.set()
        assert (await outcome_of(news, later.id)).success


def renewed(configuration_: Configuration) -> Configuration:
    """The same under another id."""
    return Configuration(instances=configuration_.instances, nodes=configuration_.nodes)


async def test_every_sign_of_work_has_its_instance_waited_for_anew() -> None:
    timeouts = ProgressTimeouts()
    async with timeouts.on("a1", 100, 1000) as one, timeouts.on("a2", 100, 1000) as other:
        first, second = one.when(), other.when()
        assert first is not None
        await asyncio.to_thread(lambda: None)
        timeouts.progressed("a1")
        later = one.when()
        assert later is not None
        assert later > first
        assert other.when() == second
    timeouts.progressed("a1")  # by then it is nobody's


async def test_what_agents_tell_while_they_work_is_such_a_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    progressed: list[str] = []
    monkeypatch.setattr(ProgressTimeouts, "progressed", lambda _self, instance: progressed.append(instance))
    async with scene() as it:
        one = await it.agent("a1")
        await it.known("a1")
        wanted = configuration("a1")
        for event in (
            agent_api.NotifyChange("a1", wanted.nodes[0], State.PENDING, State.RUNNING),
            agent_api.NotifyLog("a1", "starting"),
            NotifyNodeActions("a1", "r", wanted.id, ()),
            NotifyNodeStopping("a1", "w-a1", 1, 0.1, 1.0),
            agent_api.NotifyError("a1", "no sign of work"),
            agent_api.NotifyLog("a9", "of another instance"),
        ):
            one.tell(event)
        assert (await it.client.deploy_config(wanted)).ok  # what was told before has been heard then
        assert progressed == ["a1"] * 4


async def test_a_client_that_comes_while_the_controller_looks_for_something_to_do_is_served() -> None:
    """Its own deployment turns out not to be needed in the very moment in which a client's arrives."""
    async with asyncio.TaskGroup() as tasks, MemoryBus(MemoryNetwork(), "controller") as endpoint:
        looking, may_go_on = asyncio.Event(), asyncio.Event()

        class Looking:
            async def get(self, _state: ConfigState) -> None:
                looking.set()
                await may_go_on.wait()

        class Done:
            async def carry_out(self, deployment: Deployment, _report: object) -> Deployment:
                return deployment.having(results=(Result(deployment.reqid),))

        queue = DeploymentQueue(endpoint, Done(), Looking(), NotificationKeeper(endpoint, MemoryStore()), tasks)  # type: ignore[arg-type]
        running = tasks.create_task(queue.run())
        queue.deploy_again()
        await looking.wait()
        tracker = queue.submit(Deployment("r", Configuration()))
        may_go_on.set()
        async with asyncio.timeout(DEADLINE):
            assert (await tracker.ended).results == (Result("r"),)
        running.cancel()
