"""An agent that is killed while it deploys: it is given the configuration once more when it is back."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from support.daemons import Daemon, free_ports
from zeekfleet import Client
from zeekfleet.broker.events.agent import NotifyChange
from zeekfleet.model.enums import ClusterRole, Role, State
from zeekfleet.model.management import Configuration, Instance, Node
from zeekfleet.transport.bus import Delivery

NAME = "lost-instance"


async def test_the_deployment_succeeds_all_the_same(tmp_path: Path) -> None:
    clients, agents, first = free_ports(3)
    pending = asyncio.Event()

    def watch(delivery: Delivery) -> None:
        if isinstance(delivery.event, NotifyChange) and delivery.event.new is State.PENDING:
            pending.set()

    with Daemon(
        tmp_path,
        *("up", "--engine", "sim", "--agent-name", NAME, "--state-dir", str(tmp_path / "state")),
        *("--spool-dir", str(tmp_path / "spool"), "--agent-port", "0", "--supervisor-port", "0"),
        *("--websocket-port", str(clients), "--port", str(agents)),
        *("--auto-assign-metrics-ports", "no", "--auto-assign-start-port", str(first)),
    ) as daemon:
        await asyncio.to_thread(daemon.ready)
        async with Client("127.0.0.1", clients, watcher=watch) as client:
            await client.deploy_config(Configuration(instances=(Instance(NAME),)))  # waits for the agent
            statuses = (await client.get_nodes()).instances[NAME]
            agent = next(status.pid for status in statuses if status.mgmt_role is Role.AGENT)
            assert agent is not None
            late = {"ZEEKFLEET_SIM_START_DELAY": "1"}
            nodes = (
                Node("m", NAME, ClusterRole.MANAGER, State.RUNNING, env=late),
                Node("w", NAME, ClusterRole.WORKER, State.RUNNING, env=late),
            )
            async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
                deploying = tasks.create_task(
                    client.deploy_config(Configuration(instances=(Instance(NAME),), nodes=nodes))
                )
                await pending.wait()
                os.kill(agent, signal.SIGKILL)
            outcome = deploying.result()
            assert not outcome.errors
            assert {node.name: node.success for node in outcome.nodes} == {"m": True, "w": True}
        assert await asyncio.to_thread(daemon.stop) == 0
