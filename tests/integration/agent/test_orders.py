"""A controller's orders are carried out in the order in which they came, however quickly they follow each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from support.daemons import Daemon
from zeekfleet.broker import topics
from zeekfleet.broker.events import agent as api
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.deployments import NotifyNodeActions
from zeekfleet.broker.generations import FIRST, SECOND, Generation
from zeekfleet.model.deployments import KEEP, RESTART, NodeAction
from zeekfleet.model.enums import ClusterRole, Role, State
from zeekfleet.model.management import Configuration, Instance, Node, NodeOutputs, NodeStatus, fresh_id
from zeekfleet.model.types import Address
from zeekfleet.transport.bus import Bus, Delivery
from zeekfleet.transport.websocket import WebSocketBus

AGENT = "a1"
PATIENCE = 30.0


def configuration(*names: str) -> Configuration:
    nodes = tuple(Node(name, AGENT, ClusterRole.MANAGER, State.PENDING) for name in names)
    return Configuration(fresh_id(), (Instance(AGENT, Address("127.0.0.1")),), nodes)


@asynccontextmanager
async def controlled_agent(directory: Path) -> AsyncIterator[Bus]:
    """An agent that has dialled this test and has said hello."""
    async with WebSocketBus("c") as endpoint:
        endpoint.subscribe(topics.AGENT_PREFIX)
        port = await endpoint.listen("127.0.0.1", 0)
        places = ("--state-dir", str(directory / "state"), "--spool-dir", str(directory / "spool"))
        ports = ("--controller", f"127.0.0.1:{port}", "--port", "0", "--supervisor-port", "0", "--grace", "1")
        with Daemon(directory / "output", "agent", "--name", AGENT, *places, *ports, "--engine", "sim") as daemon:
            async with asyncio.timeout(PATIENCE):
                async for received in endpoint.events():
                    if isinstance(received, Delivery) and isinstance(received.event, api.NotifyAgentHello):
                        break
            yield endpoint
            assert daemon.stop() == 0


def order(endpoint: Bus, event: Event, generation: Generation = SECOND) -> asyncio.Task[Event]:
    return asyncio.create_task(endpoint.request(topics.agent(AGENT), event, PATIENCE, generation))


async def cluster_nodes(endpoint: Bus) -> set[str]:
    response = await order(endpoint, api.GetNodesRequest(fresh_id()))
    assert isinstance(response, api.GetNodesResponse)
    statuses = SECOND.codec.sequence_from_value(response.result.data, NodeStatus)
    return {status.node for status in statuses} - {AGENT}


async def test_deployments_and_standby_in_quick_succession_take_effect_in_order(tmp_path: Path) -> None:
    async with controlled_agent(tmp_path) as endpoint:
        first = configuration("one")
        await asyncio.gather(
            order(endpoint, api.DeployRequest(fresh_id(), first)),
            order(endpoint, api.AgentStandbyRequest(fresh_id())),
        )
        assert await cluster_nodes(endpoint) == set()
        await order(endpoint, api.DeployRequest(fresh_id(), first))
        assert await cluster_nodes(endpoint) == {"one"}
        # The same configuration is not running already: what was ordered before it will end it.
        await asyncio.gather(
            order(endpoint, api.AgentStandbyRequest(fresh_id())),
            order(endpoint, api.DeployRequest(fresh_id(), first)),
        )
        assert await cluster_nodes(endpoint) == {"one"}
        await asyncio.gather(
            order(endpoint, api.SetConfigurationRequest(fresh_id(), configuration("two")), FIRST),
            order(endpoint, api.DeployRequest(fresh_id(), configuration("three"))),
            order(endpoint, api.SetConfigurationRequest(fresh_id(), configuration("four")), FIRST),
        )
        assert await cluster_nodes(endpoint) == {"four"}


async def test_actions_are_announced_before_any_node_is_touched(tmp_path: Path) -> None:
    async with controlled_agent(tmp_path) as endpoint:
        present = configuration("one", "two")
        await order(endpoint, api.DeployRequest(fresh_id(), present))
        one, two = present.nodes
        changed = (one, msgspec.structs.replace(two, interface="lo"))
        request = api.DeployRequest(fresh_id(), msgspec.structs.replace(present, id=fresh_id(), nodes=changed))
        deploying = order(endpoint, request)
        told, touched = None, []
        async with asyncio.timeout(PATIENCE):
            async for received in endpoint.events():
                match received:
                    case Delivery(event=NotifyNodeActions(reqid=request.reqid) as told):
                        assert not touched
                    case Delivery(event=api.NotifyChange(n=Node(name=name))) if told is not None:
                        touched.append(name)
                        if received.event.new is State.RUNNING:
                            break
        assert told == NotifyNodeActions(
            AGENT,
            request.reqid,
            request.config.id,
            (NodeAction("one", AGENT, KEEP), NodeAction("two", AGENT, RESTART, ("interface",))),
        )
        assert set(touched) == {"two"}
        await deploying
        again = api.DeployRequest(fresh_id(), request.config)
        await order(endpoint, again)
        async with asyncio.timeout(PATIENCE):
            async for received in endpoint.events():
                match received:
                    case Delivery(event=NotifyNodeActions(reqid=again.reqid, actions=actions)):
                        break
        assert actions == (NodeAction("one", AGENT, KEEP), NodeAction("two", AGENT, KEEP))


@pytest.mark.long
async def test_a_superseded_deployment_reports_no_failure_of_its_nodes(tmp_path: Path) -> None:
    async with controlled_agent(tmp_path) as endpoint:
        slow = configuration("slow")
        (manager,) = slow.nodes
        first, later = (
            msgspec.structs.replace(manager, env={"ZEEKFLEET_SIM_SILENT": "1", "TIME": time}) for time in ("1", "2")
        )
        deploying = order(endpoint, api.DeployRequest(fresh_id(), msgspec.structs.replace(slow, nodes=(first,))))
        wanted = msgspec.structs.replace(slow, id=fresh_id(), nodes=(later,))
        order_of_later = order(endpoint, api.DeployRequest(fresh_id(), wanted))
        response = await deploying
        assert isinstance(response, api.DeployResponse)
        assert [result.error for result in response.results] == ["a later deployment has taken the place of this one"]
        heard = []
        endpoint.publish(topics.agent(AGENT), api.GetNodesRequest("last"))
        async with asyncio.timeout(PATIENCE):
            async for received in endpoint.events():
                match received:
                    case Delivery(event=api.NotifyError(msg=text)):
                        heard.append(text)
                    case Delivery(event=api.GetNodesResponse(reqid="last")):
                        break
        assert not [text for text in heard if f"{slow.id} is not all up in time" in text]
        order_of_later.cancel()


async def test_a_restart_waits_for_the_deployment_before_it(tmp_path: Path) -> None:
    async with controlled_agent(tmp_path) as endpoint:
        stubborn = configuration("stubborn")
        (manager,) = stubborn.nodes
        manager = msgspec.structs.replace(manager, env={"ZEEKFLEET_SIM_IGNORE_SIGTERM": "1"})
        await order(endpoint, api.DeployRequest(fresh_id(), msgspec.structs.replace(stubborn, nodes=(manager,))))
        deploying = order(endpoint, api.DeployRequest(fresh_id(), configuration("new")))
        async with asyncio.timeout(PATIENCE):
            async for received in endpoint.events():
                match received:
                    case Delivery(event=api.NotifyChange(n=Node(name="new"), new=State.PENDING)):
                        break  # known, but not created: its predecessor is being stopped
        restarted = await order(endpoint, api.RestartRequest(fresh_id()))
        deployed = await deploying
        assert isinstance(deployed, api.DeployResponse)
        assert isinstance(restarted, api.RestartResponse)
        assert [(result.node, result.success, result.error) for result in deployed.results] == [("new", True, None)]
        assert [(result.node, result.success, result.error) for result in restarted.results] == [("new", True, None)]


async def test_an_impossible_node_is_reported_at_once_and_the_others_are_deployed(tmp_path: Path) -> None:
    """One node has the name of a management process, which a restart must not touch; one cannot be a process."""
    async with controlled_agent(tmp_path) as endpoint:
        big = {"A": "x" * 200_000, "ZEEKFLEET_NICE": "1", "ZEEKFLEET_REVIVAL": "no"}
        wanted = configuration("one", "big", "a=b", AGENT)
        nodes = tuple(msgspec.structs.replace(node, env=big) if node.name == "big" else node for node in wanted.nodes)
        request = api.DeployRequest(fresh_id(), msgspec.structs.replace(wanted, nodes=nodes))
        response = await order(endpoint, request)
        assert isinstance(response, api.DeployResponse)
        results = {result.node: result for result in response.results}
        assert results["one"].success
        reasons = {
            AGENT: "its name is that of an agent or controller on this host",
            "a=b": "its name is not allowed, expected 1 to 64 letters",
            "big": "could not be started: Argument list too long",
        }
        for name, reason in reasons.items():
            assert not results[name].success
            assert reason in (results[name].error or "")
            told = SECOND.codec.from_value(results[name].data, NodeOutputs).stderr
            assert told.startswith(reason.removeprefix("could not be started: "))
        assert None not in results, "no time-out"
        before = await management_pid(endpoint)
        restarted = await order(endpoint, api.RestartRequest(fresh_id(), frozenset({AGENT, "one"})))
        assert isinstance(restarted, api.RestartResponse)
        assert {result.node: result.error for result in restarted.results} == {
            AGENT: f"could not restart node {AGENT}",
            "one": None,
        }
        assert await management_pid(endpoint) == before


async def management_pid(endpoint: Bus) -> int | None:
    response = await order(endpoint, api.GetNodesRequest(fresh_id()))
    assert isinstance(response, api.GetNodesResponse)
    statuses = SECOND.codec.sequence_from_value(response.result.data, NodeStatus)
    return next(status.pid for status in statuses if status.mgmt_role is Role.AGENT)
