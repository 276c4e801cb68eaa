"""What a controller orders is carried out in the order in which it came, however close together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from zeekfleet.broker import topics
from zeekfleet.broker.events import agent as api
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.deployments import NotifyNodeActions
from zeekfleet.broker.generations import FIRST, SECOND, Generation
from zeekfleet.model.deployments import KEEP, RESTART, NodeAction
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node, NodeStatus, fresh_id
from zeekfleet.model.types import Address
from zeekfleet.testing.daemons import Daemon
from zeekfleet.transport.endpoint import Delivery, Endpoint
from zeekfleet.transport.websocket import WebSocketEndpoint

AGENT = "a1"
PATIENCE = 30.0


def configuration(*names: str) -> Configuration:
    nodes = tuple(Node(name, AGENT, ClusterRole.MANAGER, State.PENDING) for name in names)
    return Configuration(fresh_id(), (Instance(AGENT, Address("127.0.0.1")),), nodes)


@asynccontextmanager
async def controlled_agent(directory: Path) -> AsyncIterator[Endpoint]:
    """An agent that dials us, and has said hello."""
    async with WebSocketEndpoint("c") as endpoint:
        endpoint.subscribe(topics.AGENT_PREFIX)
        port = await endpoint.listen("127.0.0.1", 0)
        places = ("--state-dir", str(directory / "state"), "--spool-dir", str(directory / "spool"))
        ports = ("--controller", f"127.0.0.1:{port}", "--port", "0", "--supervisor-port", "0", "--grace", "1")
        with Daemon(directory / "output", "agent", "--name", AGENT, *places, *ports, "--engine", "sim") as daemon:
            async with asyncio.timeout(PATIENCE):
                async for happening in endpoint.events():
                    if isinstance(happening, Delivery) and isinstance(happening.event, api.NotifyAgentHello):
                        break
            yield endpoint
            assert daemon.stop() == 0


def order(endpoint: Endpoint, event: Event, generation: Generation = SECOND) -> asyncio.Task[Event]:
    return asyncio.create_task(endpoint.request(topics.agent(AGENT), event, PATIENCE, generation))


async def cluster_nodes(endpoint: Endpoint) -> set[str]:
    response = await order(endpoint, api.GetNodesRequest(fresh_id()))
    assert isinstance(response, api.GetNodesResponse)
    statuses = SECOND.codec.sequence_from_value(response.result.data, NodeStatus)
    return {status.node for status in statuses} - {AGENT}


async def test_deployments_and_standby_back_to_back(tmp_path: Path) -> None:
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


async def test_what_is_done_about_each_node_is_told_before_any_is_touched(tmp_path: Path) -> None:
    async with controlled_agent(tmp_path) as endpoint:
        present = configuration("one", "two")
        await order(endpoint, api.DeployRequest(fresh_id(), present))
        one, two = present.nodes
        changed = (one, msgspec.structs.replace(two, interface="lo"))
        request = api.DeployRequest(fresh_id(), msgspec.structs.replace(present, id=fresh_id(), nodes=changed))
        deploying = order(endpoint, request)
        told, touched = None, []
        async with asyncio.timeout(PATIENCE):
            async for happening in endpoint.events():
                match happening:
                    case Delivery(event=NotifyNodeActions(reqid=request.reqid) as told):
                        assert not touched
                    case Delivery(event=api.NotifyChange(n=Node(name=name))) if told is not None:
                        touched.append(name)
                        if happening.event.new is State.RUNNING:
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
            async for happening in endpoint.events():
                match happening:
                    case Delivery(event=NotifyNodeActions(reqid=again.reqid, actions=actions)):
                        break
        assert actions == (NodeAction("one", AGENT, KEEP), NodeAction("two", AGENT, KEEP))


async def test_a_restart_waits_for_the_deployment_before_it(tmp_path: Path) -> None:
    async with controlled_agent(tmp_path) as endpoint:
        stubborn = configuration("stubborn")
        (manager,) = stubborn.nodes
        manager = msgspec.structs.replace(manager, env={"ZEEKFLEET_SIM_IGNORE_SIGTERM": "1"})
        await order(endpoint, api.DeployRequest(fresh_id(), msgspec.structs.replace(stubborn, nodes=(manager,))))
        deploying = order(endpoint, api.DeployRequest(fresh_id(), configuration("new")))
        async with asyncio.timeout(PATIENCE):
            async for happening in endpoint.events():
                match happening:
                    case Delivery(event=api.NotifyChange(n=Node(name="new"), new=State.PENDING)):
                        break  # known, but not created: its predecessor is being stopped
        restarted = await order(endpoint, api.RestartRequest(fresh_id()))
        deployed = await deploying
        assert isinstance(deployed, api.DeployResponse)
        assert isinstance(restarted, api.RestartResponse)
        assert [(result.node, result.success, result.error) for result in deployed.results] == [("new", True, None)]
        assert [(result.node, result.success, result.error) for result in restarted.results] == [("new", True, None)]
