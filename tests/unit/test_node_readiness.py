"""When a node is up, so that the next group may start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest

from zeekfleet.agent.roster import Roster
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Node, NodeOutputs
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.node.simulator.links import SimulatedNodeLinks
from zeekfleet.node.zeek.cluster_settings import ClusterSettings
from zeekfleet.node.zeek.links import ZeekLinks
from zeekfleet.node.zeek.status_files import StatusFiles
from zeekfleet.planning.layout import STATUS_FILE, Backend
from zeekfleet.transport.bus import Bus
from zeekfleet.transport.connections import Connections

PATIENCE = 30.0
CONFIG = NodeConfig("proxy")


@pytest.fixture
def roster() -> Roster:
    made = Roster(lambda node, old, new: None)
    made.keep([Node("proxy", "i", ClusterRole.PROXY, State.PENDING)])
    made.launching("proxy")
    made.started("proxy", 1)
    return made


@pytest.fixture
async def statuses() -> AsyncIterator[StatusFiles]:
    made = StatusFiles()
    yield made
    made.close()


def zeek_readiness(roster: Roster, statuses: StatusFiles) -> Callable[[NodeConfig], Coroutine[Any, Any, None]]:
    bus, connections = cast(Bus, None), cast(Connections, None)
    links = ZeekLinks(bus, connections, Backend.ZEROMQ, ClusterSettings(Path("/nowhere")), statuses)
    return links.readiness(roster)


def say(directory: Path, status: str) -> None:
    (directory / STATUS_FILE).write_text(f"{status}\n")


async def has_ended(waiting: asyncio.Task[None]) -> bool:
    """Whether waiting has ended, after every task that can run has run."""
    for _ in range(10):
        await asyncio.sleep(0)
    return waiting.done()


async def test_a_zeek_is_up_when_its_status_file_says_running(
    roster: Roster, statuses: StatusFiles, tmp_path: Path
) -> None:
    say(tmp_path, "INITIALIZING")
    statuses.follow({"proxy": (1, tmp_path)})
    waiting = asyncio.create_task(zeek_readiness(roster, statuses)(CONFIG))
    roster.hello("proxy")
    assert not await has_ended(waiting)
    say(tmp_path, "RUNNING [run_loop]")
    await asyncio.wait_for(waiting, PATIENCE)


async def test_the_status_of_a_former_process_does_not_count(
    roster: Roster, statuses: StatusFiles, tmp_path: Path
) -> None:
    say(tmp_path, "RUNNING")
    statuses.follow({"proxy": (1, tmp_path)})
    (tmp_path / STATUS_FILE).unlink()
    say(tmp_path, "STARTING")  # a new file, which is not watched yet
    assert statuses.up == {"proxy"}
    waiting = asyncio.create_task(zeek_readiness(roster, statuses)(CONFIG))
    assert not await has_ended(waiting)
    statuses.follow({"proxy": (2, tmp_path)})
    say(tmp_path, "RUNNING")
    await asyncio.wait_for(waiting, PATIENCE)


async def test_waiting_ends_when_a_zeek_has_failed(roster: Roster, statuses: StatusFiles, tmp_path: Path) -> None:
    say(tmp_path, "INITIALIZING")
    statuses.follow({"proxy": (1, tmp_path)})
    waiting = asyncio.create_task(zeek_readiness(roster, statuses)(CONFIG))
    roster.exited("proxy", NodeOutputs("", "error"))
    roster.started("proxy", 2)
    assert not await has_ended(waiting)
    roster.exited("proxy", NodeOutputs("", "error"))
    await asyncio.wait_for(waiting, PATIENCE)


async def test_a_simulated_node_is_up_when_it_says_hello(roster: Roster) -> None:
    waiting = asyncio.create_task(SimulatedNodeLinks(cast(Bus, None), Path("s")).readiness(roster)(CONFIG))
    assert not await has_ended(waiting)
    roster.hello("proxy")
    await asyncio.wait_for(waiting, PATIENCE)
