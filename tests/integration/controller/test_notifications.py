"""What happens is kept, and told to whoever listens: agents that come and go, changes, errors, deployments."""

from __future__ import annotations

import asyncio
import time

import pytest
from scene import DEADLINE, configuration, scene

from zeekfleet.broker.events.agent import NotifyChange, NotifyError
from zeekfleet.broker.events.notifications import NotificationKept
from zeekfleet.broker.generations import GENERATIONS
from zeekfleet.controller import notifications
from zeekfleet.errors import RequestFailedError
from zeekfleet.model.enums import State
from zeekfleet.model.notifications import Notification
from zeekfleet.transport.bus import BusEvent, Delivery


def kept(received: BusEvent) -> bool:
    return isinstance(received, Delivery) and isinstance(received.event, NotificationKept)


async def test_what_happens_is_kept_and_told() -> None:
    async with scene() as made:
        listener = await made.listener()
        agent = await made.agent("a1")
        await made.known("a1")
        deployed = configuration("a1")
        assert (await made.client.deploy_config(deployed)).ok
        (node,) = deployed.nodes
        for generation in GENERATIONS:  # as agents of ours do
            agent.endpoint.publish(agent.topic, NotifyChange("a1", node, State.RUNNING, State.CRASHED), generation)
            agent.endpoint.publish(agent.topic, NotifyError("a1", "it smokes", "w-a1"), generation)
        agent.endpoint.hang_up("127.0.0.1", 2150)

        def is_gone(received: BusEvent) -> bool:
            return kept(received) and received.event.notification.kind == "gone"

        await listener.wait_for(is_gone, DEADLINE)
        found = made.store.notifications()
        assert [received.event.notification for received in listener.seen if kept(received)] == list(found)
    assert [one.kind for one in found] == ["connected", "deployment", "change", "error", "gone"]
    connected, deployment, change, error, gone = found
    assert (connected.instance, connected.message.startswith("checked in from ")) == ("a1", True)
    assert (deployment.config, deployment.success) == (deployed.id, True)
    assert deployment.message == f"deployment of configuration {deployed.id}: success"
    assert (change.instance, change.node, change.old, change.new) == ("a1", "w-a1", State.RUNNING, State.CRASHED)
    assert (error.node, error.message) == ("w-a1", "it smokes")
    assert (gone.instance, bool(gone.message)) == ("a1", True)


async def test_a_deployment_that_failed_is_kept_with_its_errors() -> None:
    async with scene(instance_wait=0.01, request_timeout=0.01) as made:
        outcome = await made.client.deploy_config(configuration("absent"))
        assert not outcome.ok
        while not (found := made.store.notifications()):
            await made.client.get_instances()  # each try is a round trip
    assert [(one.kind, one.success) for one in found] == [("deployment", False)]
    assert "instance 'absent' is missing: never connected" in found[0].message


async def test_a_flood_of_an_agent_is_cut_and_does_not_drown_another(caplog: pytest.LogCaptureFixture) -> None:
    limits = notifications.NotificationLimits(size=10, per_second=0.001, burst=3)
    async with scene(notifications=limits) as made:
        loud, quiet = await made.agent("a1"), await made.agent("a2")
        await made.known("a1", "a2")
        for number in range(100):
            loud.tell(NotifyError("a1", f"{number:08} and so on", "w"))
        quiet.tell(NotifyError("a2", "it smokes", "w"))
        while sum(one.kind == "error" for one in made.store.notifications()) < 4:
            await made.client.get_instances()  # each try is a round trip
        found = [one.message for one in made.store.notifications() if one.kind == "error"]
    assert sorted(found) == [f"{number:08} a… (8 more characters)" for number in range(3)] + ["it smokes"]
    assert [line.getMessage() for line in caplog.records if "things a second" in line.getMessage()] == [
        "instance a1 tells more than 0.001 things a second: not all is kept"
    ]


async def test_names_that_an_agent_tells_are_bounded_as_well() -> None:
    async with scene() as made:
        agent, nameless = await made.agent("a1"), await made.agent("i" * 1000)
        await made.known("a1")
        nameless.tell(NotifyError("i" * 1000, "no instance has such a name", ""))
        agent.tell(NotifyError("a1", "it smokes", "w" * 1000))
        while not (found := [one for one in made.store.notifications() if one.kind == "error"]):
            await made.client.get_instances()  # each try is a round trip
    assert [(one.instance, len(one.node) < 100, one.message) for one in found] == [("a1", True, "it smokes")]


async def test_clients_ask_for_what_happened_and_follow_what_happens() -> None:
    async with scene() as made:
        agent = await made.agent("a1")
        await made.known("a1")
        agent.tell(NotifyError("a1", "it smokes", "w"))
        while len(made.store.notifications()) < 2:
            await made.client.get_instances()  # each try is a round trip
        found = await made.client.events()
        assert [(event.kind, event.node) for event in found] == [("connected", ""), ("error", "w")]
        assert await made.client.events(seconds=0.0) == ()
        events = made.client.follow_events(3600.0)
        assert [await anext(events), await anext(events)] == list(found)
        agent.tell(NotifyError("a1", "it burns", "w"))
        async with asyncio.timeout(DEADLINE):
            assert (await anext(events)).message == "it burns"
        await events.aclose()


async def test_an_answer_holds_the_latest_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "LARGEST_ANSWER", 3 * notifications.NOTIFICATION_SIZE)
    async with scene() as made:
        for number in range(5):
            made.store.record(Notification("log", time.time(), "a1", message=str(number)))
        assert [event.message for event in await made.client.events()] == ["3", "4"]


async def test_a_file_name_that_is_no_text_does_no_harm() -> None:
    async with scene(loss="database /tmp/\udcff was set aside") as made:
        while not made.store.notifications():
            await made.client.get_instances()  # each try is a round trip
        (event,) = await made.client.events()
        assert (event.kind, event.instance, event.message) == ("error", "c", "database /tmp/? was set aside")


async def test_a_database_that_cannot_be_read_is_told() -> None:
    async with scene() as made:
        await made.client.get_instances()  # the controller has read what it needs
        made.store.close()
        with pytest.raises(RequestFailedError, match="the store is closed"):
            await made.client.events()
