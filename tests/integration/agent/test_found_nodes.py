"""An agent that reconnects to its supervisor asks at once which of the nodes there are up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support.recorder import Recorder
from zeekfleet.agent import agent as module
from zeekfleet.agent.agent import Agent
from zeekfleet.agent.options import AgentOptions
from zeekfleet.broker import topics
from zeekfleet.broker.events import agent as api
from zeekfleet.broker.events import node as node_api
from zeekfleet.broker.events import supervision
from zeekfleet.broker.events import supervisor as supervisor_api
from zeekfleet.model.enums import ClusterRole, Role, State
from zeekfleet.model.management import NodeOutputs, Result
from zeekfleet.model.supervision import NodeDetails, ProcessState
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig, NodeStatus, Status
from zeekfleet.model.types import NO_PORT, Address
from zeekfleet.node.simulator.links import SimulatedNodeLinks
from zeekfleet.transport.bus import BusEvent, Delivery
from zeekfleet.transport.connections import ListenerPolicy
from zeekfleet.transport.memory import MemoryBus, MemoryNetwork

LOOPBACK = Address("127.0.0.1")
CONFIG = NodeConfig("worker", cluster={"worker": ClusterEndpoint(ClusterRole.WORKER, LOOPBACK, NO_PORT)})
PATIENCE = 20.0


def is_change(received: BusEvent, new: State) -> bool:
    return isinstance(received, Delivery) and isinstance(received.event, api.NotifyChange) and received.event.new is new


@asynccontextmanager
async def found_worker(
    directory: Path, details: NodeDetails | None = None, state: State = State.RUNNING
) -> AsyncIterator[tuple[MemoryBus, Recorder]]:
    """A supervisor with a worker that said hello long ago; yields what the agent reports after finding them.

    Args:
        directory: the state directory.
        details: what the supervisor tells of the worker beyond the protocol, if it does.
        state: what the agent must report first.
    """
    network = MemoryNetwork()
    async with (
        MemoryBus(network, "a") as own,
        MemoryBus(network, "a") as control,
        MemoryBus(network, "supervisor") as supervisor,
        MemoryBus(network, "worker") as worker,
    ):
        supervisor.subscribe(topics.SUPERVISOR)
        worker.subscribe(topics.NODE)
        port = await own.listen("127.0.0.1", 0, policy=ListenerPolicy(Role.CONTROLLER))
        supervisor_port = await supervisor.listen("127.0.0.1", 0)

        def supervise(received: BusEvent) -> None:
            match received:
                case Delivery(event=supervisor_api.StatusRequest(reqid=reqid)):
                    status = Status({"worker": NodeStatus(CONFIG, pid=17)})
                    supervisor.reply(received, supervisor_api.StatusResponse(reqid, status))
                case Delivery(event=supervision.DetailsRequest(reqid=reqid)):
                    known = {} if details is None else {"worker": details}
                    supervisor.reply(received, supervision.DetailsResponse(reqid, known))

        def work(received: BusEvent) -> None:
            """A worker that sends no hello, and answers requests."""
            match received:
                case Delivery(event=node_api.NodeDispatchRequest(reqid=reqid)):
                    result = Result(reqid, data='"worker"', node="worker")
                    worker.publish(topics.NODE, node_api.NodeDispatchResponse(reqid, result))

        async with MemoryBus(network, "c") as controller, Recorder(supervisor, supervise), Recorder(worker, work):
            controller.subscribe(topics.AGENT_PREFIX)
            controller.dial("127.0.0.1", port)
            worker.dial("127.0.0.1", port)
            options = AgentOptions("a", directory, LOOPBACK, port, dials_controller=False)
            agent = Agent(options, own, control, SimulatedNodeLinks(own, directory / "socket"))
            running = asyncio.create_task(agent.run())
            try:
                async with Recorder(controller) as heard:
                    control.dial("127.0.0.1", supervisor_port)
                    await heard.wait_for(lambda received: is_change(received, state), PATIENCE)
                    yield supervisor, heard
            finally:
                running.cancel()
                await asyncio.wait([running])


@pytest.fixture(autouse=True)
def _no_later_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PING_AFTER", 1000.0)


async def test_found_nodes_are_asked_without_delay(tmp_path: Path) -> None:
    async with found_worker(tmp_path):
        pass  # it is up already, or the agent would still be waiting


async def test_a_revived_node_is_asked_without_delay(tmp_path: Path) -> None:
    """Its hello may have arrived before the report that its former process ended."""
    async with found_worker(tmp_path) as (supervisor, heard):
        start = len(heard.seen)
        supervisor.publish(topics.NODE_EXITS, supervisor_api.NotifyNodeExit("worker", NodeOutputs("", "")))
        supervisor.publish(topics.NODE_STATUS, supervisor_api.NodeStatus("worker", 18))
        for state in (State.CRASHED, State.PENDING, State.RUNNING):
            await heard.wait_for(lambda received, state=state: is_change(received, state), PATIENCE, start)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("process", "state"), [(ProcessState.WAITING, State.CRASHED), (ProcessState.FAILED, State.FAILED)]
)
async def test_a_node_without_a_process_is_not_found_running(
    tmp_path: Path, process: ProcessState, state: State
) -> None:
    """The supervisor tells the pid of its last process, which has ended."""
    async with found_worker(tmp_path, NodeDetails("worker", process, pid=17, exited_at=1.0), state) as (_, heard):
        assert not [received for received in heard.seen if is_change(received, State.PENDING)]
