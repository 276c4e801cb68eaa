"""A controller, agents and clients on a bus that tells nothing of connections."""

from __future__ import annotations

from scene import DEADLINE, configuration, scene

from support.bare_bus import BareBus
from zeekfleet import Client
from zeekfleet.transport.memory import MemoryBus


async def test_a_client_waits_for_no_connection_where_none_is_told_of() -> None:
    async with scene() as it:
        bus = BareBus(MemoryBus(it.network, "bare"), ("127.0.0.1", 2150))
        async with Client(timeout=DEADLINE, bus=bus) as client:
            await it.agent("a1")
            await it.known("a1")
            assert (await client.deploy_config(configuration("a1"))).ok
            assert [instance.name for instance in await client.get_instances()] == ["a1"]
