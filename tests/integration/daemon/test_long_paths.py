"""State directories deeper than a socket's name may be long."""

from __future__ import annotations

import asyncio
from pathlib import Path

from support.daemons import Daemon, free_ports
from zeekfleet import Client
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node

NAME = "deep-instance"


async def test_nodes_find_their_agent(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-directory-with-a-long-name"] * 5)
    assert len(str(deep)) > 107
    clients, agents, first = free_ports(3)
    with Daemon(
        tmp_path,
        *("up", "--engine", "sim", "--agent-name", NAME, "--state-dir", str(deep), "--spool-dir", str(deep / "spool")),
        *("--agent-port", "0", "--supervisor-port", "0", "--websocket-port", str(clients), "--port", str(agents)),
        *("--auto-assign-metrics-ports", "no", "--auto-assign-start-port", str(first)),
    ) as daemon:
        await asyncio.to_thread(daemon.ready)
        async with Client("127.0.0.1", clients) as client:
            nodes = (Node("m", NAME, ClusterRole.MANAGER, State.RUNNING),)
            outcome = await client.deploy_config(Configuration(instances=(Instance(NAME),), nodes=nodes), timeout=60)
        assert [node.success for node in outcome.nodes] == [True]
        assert await asyncio.to_thread(daemon.stop) == 0
