"""The asynchronous API against a scripted controller."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from support.proxy import FaultyProxy
from support.waiting import PATIENCE
from zeekfleet import Client
from zeekfleet.broker import topics
from zeekfleet.broker.events import agent
from zeekfleet.broker.events import controller as api
from zeekfleet.broker.events.notifications import NotificationKept, NotificationsRequest, NotificationsResponse
from zeekfleet.broker.generations import FIRST, GENERATIONS
from zeekfleet.client.verbs import events as events_verb
from zeekfleet.errors import ConfigurationError, RequestFailedError, RequestTimeoutError, TransportError
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node, NodeStatus, Result
from zeekfleet.model.notifications import Notification, NotificationKind
from zeekfleet.transport.bus import Delivery
from zeekfleet.transport.websocket import WebSocketBus

NODE = Node("w", "a", ClusterRole.WORKER, State.RUNNING)
CONFIGURATION = Configuration("c-1", (Instance("a"),), (NODE,))


def accept(controller: Any) -> None:
    controller.on(
        api.StageConfigurationRequest,
        lambda r: api.StageConfigurationResponse(r.reqid, (Result(r.reqid, data=r.config.id),)),
    )
    controller.on(
        api.DeployRequest,
        lambda r: api.DeployResponse(r.reqid, (Result(r.reqid, instance="a", node="w"), Result(r.reqid, data="c-1"))),
    )


async def test_deploy_config(controller):
    accept(controller)
    async with Client("127.0.0.1", controller.port) as client:
        outcome = await client.deploy_config(CONFIGURATION)
    assert outcome.ok
    assert outcome.id == "c-1"
    assert [(node.name, node.success) for node in outcome.nodes] == [("w", True)]
    assert controller.heard[0].config == CONFIGURATION


async def test_refused_configuration_raises_with_all_errors(controller):
    controller.on(
        api.StageConfigurationRequest,
        lambda r: api.StageConfigurationResponse(
            r.reqid, (Result(r.reqid, success=False, error="one"), Result(r.reqid, success=False, error="two"))
        ),
    )
    async with Client("127.0.0.1", controller.port) as client:
        with pytest.raises(ConfigurationError) as caught:
            await client.deploy_config(CONFIGURATION)
    assert caught.value.errors == ("one", "two")


async def test_questions_at_the_same_time(controller):
    status = NodeStatus("w", State.RUNNING, pid=5)
    controller.on(
        api.GetNodesRequest, lambda r: api.GetNodesResponse(r.reqid, (Result(r.reqid, instance="a", data=(status,)),))
    )
    controller.on(
        api.GetInstancesRequest,
        lambda r: api.GetInstancesResponse(r.reqid, Result(r.reqid, data=(Instance("b"), Instance("a")))),
    )
    controller.on(
        api.GetConfigurationRequest,
        lambda r: api.GetConfigurationResponse(
            r.reqid,
            Result(r.reqid, data=CONFIGURATION)
            if r.deployed
            else Result(r.reqid, success=False, error="no staged configuration available"),
        ),
    )
    controller.on(
        api.GetIdValueRequest,
        lambda r: api.GetIdValueResponse(r.reqid, (Result(r.reqid, instance="a", node="w", data="[1]"),)),
    )
    controller.on(
        api.RestartRequest,
        lambda r: api.RestartResponse(r.reqid, (Result(r.reqid, success=False, instance="a", node="w"),)),
    )
    controller.on(
        api.TestTimeoutRequest, lambda r: api.TestTimeoutResponse(r.reqid, Result(r.reqid, success=False, error="late"))
    )
    async with Client("127.0.0.1", controller.port) as client, asyncio.TaskGroup() as tasks:
        nodes = tasks.create_task(client.get_nodes())
        instances = tasks.create_task(client.get_instances())
        configuration = tasks.create_task(client.get_configuration(deployed=True))
        values = tasks.create_task(client.get_id_value("x", ["w"]))
        restarted = tasks.create_task(client.restart())
        timed_out = tasks.create_task(client.test_timeout(with_state=True))
        with pytest.raises(RequestFailedError, match="no staged configuration available"):
            await client.get_configuration()
    assert nodes.result().instances == {"a": (status,)}
    assert instances.result() == (Instance("a"), Instance("b"))
    assert configuration.result() == CONFIGURATION
    assert values.result().values == {"w": [1]}
    assert (restarted.result().nodes, restarted.result().ok) == ({"w": False}, False)
    assert timed_out.result().error == "late"


async def test_silence_times_out_and_the_client_stays_usable(controller):
    accept(controller)
    async with Client("127.0.0.1", controller.port, timeout=10) as client:
        with pytest.raises(RequestTimeoutError):
            await client.test_timeout(timeout=0.1)
        assert (await client.deploy()).ok


async def test_watcher_sees_the_agents(controller):
    accept(controller)
    change = agent.NotifyChange("a", NODE, State.PENDING, State.RUNNING)
    seen: list[Any] = []
    arrived = asyncio.Event()

    def watch(delivery: Any) -> None:
        seen.append(delivery.event)
        arrived.set()

    async with Client("127.0.0.1", controller.port, watcher=watch) as client:
        await client.deploy()
        controller.endpoint.publish("zeek/management/agent/a", change)
        async with asyncio.timeout(10):
            await arrived.wait()
    assert seen == [change]


async def test_each_notification_is_seen_once(controller):
    """Agents of ours tell it in both generations' names, older ones in the first generation's alone."""
    change = agent.NotifyChange("a", NODE, State.PENDING, State.RUNNING)
    error, last = agent.NotifyError("old", "it smokes"), agent.NotifyLog("a", "that was all")
    seen: list[Any] = []
    arrived = asyncio.Event()

    def watch(delivery: Delivery) -> None:
        seen.append(delivery.event)
        if delivery.event == last:
            arrived.set()

    async with Client("127.0.0.1", controller.port, watcher=watch):
        for generation in GENERATIONS:
            controller.endpoint.publish("zeek/management/agent/a", change, generation)
        controller.endpoint.publish("zeek/management/agent/old", error, FIRST)
        controller.endpoint.publish("zeek/management/agent/a", last)
        async with asyncio.timeout(10):
            await arrived.wait()
    assert seen == [change, error, last]


async def test_no_controller(unused_tcp_port):
    what = f"cannot connect to controller 127.0.0.1:{unused_tcp_port} within 0.2 s: Connection refused"
    with pytest.raises(TransportError, match=what):
        async with Client("127.0.0.1", unused_tcp_port, connect_timeout=0.2):
            raise AssertionError


async def test_a_name_that_nobody_has_is_told():
    with pytest.raises(TransportError, match=r"within 0.2 s: .*(not known|resolution|No address)"):
        async with Client("no.such.host.invalid", connect_timeout=0.2):
            raise AssertionError


async def test_a_controller_that_does_not_serve_us_says_why():
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 25\r\n\r\nuser guest is not served.")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TransportError, match=r"within 0\.2 s: user guest is not served"):
            async with Client("127.0.0.1", port, connect_timeout=0.2):
                raise AssertionError


def event_of(number: int) -> Notification:
    return Notification(NotificationKind.ERROR, float(number), "a", message=f"event {number}")


async def test_who_follows_events_is_told_of_a_loss_that_happened_while_it_was_busy(controller):
    """The connection is lost and there again before the next event is asked for: what came between is not known."""
    kept, before = event_of(1), event_of(2)
    answered = Result("", data=(kept,))
    controller.on(NotificationsRequest, lambda r: NotificationsResponse(r.reqid, answered))
    async with FaultyProxy("127.0.0.1", controller.port) as proxy, Client("127.0.0.1", proxy.port) as client:
        events = client.follow_events(60.0)
        assert await anext(events) == kept
        controller.endpoint.publish(topics.NOTIFICATIONS, NotificationKept(before))
        assert await anext(events) == before
        controller.met.clear()
        proxy.drop()
        async with asyncio.timeout(PATIENCE):
            await controller.met.wait()
        controller.endpoint.publish(topics.NOTIFICATIONS, NotificationKept(event_of(4)))
        assert await client.events()  # so the connection is there, and what was published before has arrived
        with pytest.raises(TransportError, match="is lost"):
            await anext(events)


async def test_who_takes_events_too_slowly_is_told(controller, monkeypatch):
    monkeypatch.setattr(events_verb, "BACKLOG", 2)
    controller.on(NotificationsRequest, lambda r: NotificationsResponse(r.reqid, Result("", data=(event_of(0),))))
    async with Client("127.0.0.1", controller.port) as client:
        events = client.follow_events(60.0)
        assert await anext(events) == event_of(0)
        for number in (1, 2, 3):
            controller.endpoint.publish(topics.NOTIFICATIONS, NotificationKept(event_of(number)))
        assert await client.events()
        assert [await anext(events) for _ in range(2)] == [event_of(1), event_of(2)]
        with pytest.raises(TransportError, match="2 events were not taken in time"):
            await anext(events)


async def test_rolling_restart_waits_for_each_node(controller):
    """A node is restarted when the one before it has told that it runs."""
    names = ("w1", "w2")
    nodes = tuple(Node(name, "a", ClusterRole.WORKER, State.RUNNING) for name in names)
    statuses = tuple(NodeStatus(name, State.RUNNING, cluster_role=ClusterRole.WORKER) for name in names)
    topic = "zeek/management/agent/a"

    def restart(request: api.RestartRequest) -> api.RestartResponse:
        (name,) = request.nodes
        node = Node(name, "a", ClusterRole.WORKER, State.RUNNING)
        controller.endpoint.publish(topic, agent.NotifyChange("a", node, State.PENDING, State.RUNNING))
        return api.RestartResponse(request.reqid, (Result(request.reqid, instance="a", node=name),))

    controller.on(
        api.GetNodesRequest, lambda r: api.GetNodesResponse(r.reqid, (Result(r.reqid, instance="a", data=statuses),))
    )
    deployed = Configuration("c-1", (Instance("a"),), nodes)
    controller.on(
        api.GetConfigurationRequest, lambda r: api.GetConfigurationResponse(r.reqid, Result(r.reqid, data=deployed))
    )
    controller.on(api.RestartRequest, restart)
    async with Client("127.0.0.1", controller.port) as client:
        outcome = await client.rolling_restart(["workers"], wait=10.0)
    assert (outcome.nodes, outcome.ok) == ({"w1": True, "w2": True}, True)
    asked = [event.nodes for event in controller.heard if isinstance(event, api.RestartRequest)]
    assert asked == [{"w1"}, {"w2"}]


async def test_rolling_restart_ends_at_a_node_that_does_not_come_back(controller):
    status = NodeStatus("w", State.RUNNING, cluster_role=ClusterRole.WORKER)
    controller.on(
        api.GetNodesRequest, lambda r: api.GetNodesResponse(r.reqid, (Result(r.reqid, instance="a", data=(status,)),))
    )
    controller.on(
        api.RestartRequest, lambda r: api.RestartResponse(r.reqid, (Result(r.reqid, instance="a", node="w"),))
    )
    async with Client("127.0.0.1", controller.port) as client:
        outcome = await client.rolling_restart(wait=0.1)
    assert outcome.nodes == {"w": False}
    assert outcome.errors[0].error == "did not come back; stopped here"


def test_reads_configuration_files(tmp_path, caplog):
    file = tmp_path / "cluster.ini"
    file.write_text("[w]\ninstance = a\nrole = worker\nscripts = beside.zeek\nmisspelt = 1\n")
    (tmp_path / "beside.zeek").touch()
    (node,) = Configuration.from_file(str(file), lax=True).nodes
    assert (node.name, node.scripts) == ("w", (str(tmp_path / "beside.zeek"),))
    assert "misspelt" in caplog.text
    with pytest.raises(ConfigurationError, match="misspelt"):
        Configuration.from_file(str(file))
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        Configuration.from_file(str(tmp_path / "missing.ini"))


def test_the_package_offers_the_client_without_loading_it():
    code = (
        "import sys, zeekfleet; assert 'asyncio' not in sys.modules; zeekfleet.Client; assert 'asyncio' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_lost_connection_ends_the_request_at_once():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TransportError, match="cannot connect"):
            async with Client("127.0.0.1", port, connect_timeout=0.3):
                raise AssertionError


async def test_controller_that_dies_in_mid_request():
    """The answer comes long before the time-out."""
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def die_when_asked() -> None:
        async with WebSocketBus() as endpoint:
            endpoint.subscribe("zeek/management/controller")
            port.set_result(await endpoint.listen("127.0.0.1", 0))
            async for received in endpoint.events():
                if isinstance(received, Delivery):
                    return

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(die_when_asked())
        async with Client("127.0.0.1", await port, timeout=60) as client:
            with pytest.raises(TransportError, match="is lost"):
                await client.deploy()


async def test_errors_in_the_body_come_through_as_they_are(controller):
    with pytest.raises(ZeroDivisionError):
        async with Client("127.0.0.1", controller.port):
            raise ZeroDivisionError
