"""Groups of nodes start one after the other, with and without a start barrier."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from pathlib import Path

import pytest

from support.waiting import News
from zeekfleet.agent import start_barrier, start_order
from zeekfleet.agent.start_barrier import BARRIER_FILE, block, release, release_all
from zeekfleet.agent.start_order import StartOrder
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import Address, Port

ROLES = {
    "worker-1": ClusterRole.WORKER,
    "logger-1": ClusterRole.LOGGER,
    "manager": ClusterRole.MANAGER,
    "logger-2": ClusterRole.LOGGER,
    "worker-2": ClusterRole.WORKER,
}
IN_ORDER = [["logger-1", "logger-2"], ["manager"], ["worker-1", "worker-2"]]
LONG = 60.0


class Nodes(News):
    """Replaces the nodes' processes: each begins unless it waits at a barrier, and is up when the test says so.

    Attributes:
        happened: ``launched NAME`` and ``begun NAME``, in the order in which they happened.
    """

    def __init__(self, root: Path) -> None:
        super().__init__()
        cluster = {name: ClusterEndpoint(role, Address("127.0.0.1"), Port(0)) for name, role in ROLES.items()}
        self.configs = [NodeConfig(name, directory=str(root / name), cluster=cluster) for name in ROLES]
        self.happened: list[str] = []
        self.up = {name: asyncio.Event() for name in ROLES}
        self._processes: list[asyncio.Task[None]] = []

    async def launch(self, config: NodeConfig) -> None:
        self._tell(f"launched {config.name}")
        self._processes.append(asyncio.create_task(self._process(config)))

    async def readiness(self, config: NodeConfig) -> None:
        await self.up[config.name].wait()

    async def _process(self, config: NodeConfig) -> None:
        assert config.directory is not None
        fifo = Path(config.directory) / BARRIER_FILE
        if fifo.exists():
            # The flags of fopen(): if the FIFO is gone by now, this creates a plain file.
            end = await asyncio.to_thread(os.open, fifo, os.O_WRONLY | os.O_CREAT)
            os.close(end)
        self._tell(f"begun {config.name}")

    def _tell(self, what: str) -> None:
        self.happened.append(what)
        self.notify()

    def names(self, what: str) -> list[str]:
        return [entry.split()[1] for entry in self.happened if entry.startswith(what)]

    async def begin(self, names: list[str]) -> None:
        """Wait until exactly these nodes have begun."""
        await self.until(lambda: sorted(self.names("begun")) == sorted(names))

    async def come_up_in_order(self) -> None:
        """Let the groups come up one after the other; check that only the group and those before it have begun."""
        begun: list[str] = []
        for group in IN_ORDER:
            begun += group
            await self.begin(begun)
            for name in group:
                assert sorted(self.names("begun")) == sorted(begun)
                self.up[name].set()

    async def ended(self) -> None:
        async with asyncio.timeout(LONG):
            await asyncio.gather(*self._processes)


def order(nodes: Nodes, timeout: float = LONG, *, has_start_barrier: bool = True) -> StartOrder:
    return StartOrder(nodes.readiness, lambda _: timeout, has_start_barrier=has_start_barrier)


@pytest.mark.parametrize("cpus", [1, 3, 64])
async def test_nodes_with_a_barrier_are_launched_at_once_and_begin_in_order(
    tmp_path: Path, cpus: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_order.os, "sched_getaffinity", lambda _: set(range(cpus)))
    nodes = Nodes(tmp_path)
    starting = asyncio.create_task(order(nodes).start(nodes.configs, nodes.launch))
    # No node is up, but all are launched.
    await nodes.until(lambda: len(nodes.names("launched")) == len(ROLES))
    await nodes.come_up_in_order()
    await starting
    await nodes.ended()
    assert nodes.names("launched") == [name for group in IN_ORDER for name in group]
    # A node that opens the FIFO just after its removal creates a plain file, which is no barrier.
    assert not any((tmp_path / name / BARRIER_FILE).is_fifo() for name in ROLES)


async def test_without_a_barrier_a_group_is_launched_when_the_one_before_is_up(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path)
    starting = asyncio.create_task(order(nodes, has_start_barrier=False).start(nodes.configs, nodes.launch))
    await nodes.come_up_in_order()
    await starting


@pytest.mark.parametrize("has_start_barrier", [True, False])
async def test_a_group_that_does_not_come_up_delays_the_next_only_for_the_timeout(
    tmp_path: Path, has_start_barrier: bool
) -> None:
    nodes = Nodes(tmp_path)
    await order(nodes, 0.01, has_start_barrier=has_start_barrier).start(nodes.configs, nodes.launch)
    await nodes.until(lambda: len(nodes.names("begun")) == len(ROLES))


async def test_a_cancelled_start_releases_all_nodes(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path)
    starting = asyncio.create_task(order(nodes).start(nodes.configs, nodes.launch))
    await nodes.until(lambda: len(nodes.happened) == len(ROLES) + len(IN_ORDER[0]))
    starting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await starting
    await nodes.until(lambda: len(nodes.names("begun")) == len(ROLES))


async def test_a_restart_stops_in_reverse_and_begins_in_order(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path)
    restarting = asyncio.create_task(order(nodes).restart(nodes.configs, nodes.launch))
    await nodes.come_up_in_order()
    await restarting
    assert nodes.names("launched") == [name for group in IN_ORDER[::-1] for name in group]


async def test_a_restart_does_not_wait_for_a_node_that_does_not_stop(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path)
    stopped = asyncio.Event()

    async def relaunch(config: NodeConfig) -> None:
        if config.name == "worker-1":
            await stopped.wait()
        await nodes.launch(config)

    for event in nodes.up.values():
        event.set()
    restarting = asyncio.create_task(order(nodes, 0.05).restart(nodes.configs, relaunch))
    await nodes.until(lambda: len(nodes.names("begun")) == len(ROLES) - 1)
    assert "worker-1" not in nodes.names("begun")
    stopped.set()
    await restarting
    await nodes.until(lambda: "worker-1" in nodes.names("begun"))


async def test_without_a_barrier_all_nodes_restart_at_once(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path)
    await order(nodes, has_start_barrier=False).restart(nodes.configs, nodes.launch)
    await nodes.until(lambda: len(nodes.names("begun")) == len(ROLES))


async def test_a_node_that_is_to_be_stopped_is_released_from_the_barrier(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path)
    restarting = asyncio.create_task(order(nodes).restart(nodes.configs, nodes.launch))
    await nodes.until(lambda: len(nodes.names("launched")) == len(ROLES))
    await nodes.begin(IN_ORDER[0])
    order(nodes).release(nodes.configs[0])
    await nodes.begin([*IN_ORDER[0], "worker-1"])
    for event in nodes.up.values():
        event.set()
    await restarting
    await nodes.ended()


async def test_a_node_that_could_not_be_released_for_lack_of_descriptors_is_released_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, "no more descriptors")

    block(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(start_barrier, "LINGER", 0.01)
        patched.setattr(os, "open", refuse)
        release(tmp_path)
        assert (tmp_path / BARRIER_FILE).is_fifo()
    async with asyncio.timeout(LONG):
        os.close(await asyncio.to_thread(os.open, tmp_path / BARRIER_FILE, os.O_WRONLY))
    assert not (tmp_path / BARRIER_FILE).exists()


@pytest.mark.parametrize("attempt", range(10))
async def test_blocking_again_releases_a_process_that_waits_already(tmp_path: Path, attempt: int) -> None:
    block(tmp_path)
    waiting = asyncio.create_task(asyncio.to_thread(os.open, tmp_path / BARRIER_FILE, os.O_WRONLY | os.O_CREAT))
    for _ in range(20 * attempt):
        await asyncio.sleep(0)  # the test cannot see whether the thread waits already; it must succeed either way
    block(tmp_path)  # for the next process in that directory
    release(tmp_path)
    async with asyncio.timeout(LONG):
        os.close(await waiting)


async def test_a_file_that_is_not_a_fifo_is_no_barrier(tmp_path: Path) -> None:
    names = ("none", "file", "link", "directory")
    places = [tmp_path / name for name in names]
    for place in places[1:]:
        place.mkdir()
    (places[1] / BARRIER_FILE).write_text("")
    (places[2] / BARRIER_FILE).symlink_to("/etc/passwd")
    (places[3] / BARRIER_FILE).mkdir()
    release_all(places)
    assert not (places[1] / BARRIER_FILE).exists()
    for place in places[:2]:
        block(place)
        assert (place / BARRIER_FILE).is_fifo()
    release_all(places)
    for place in places[:2]:
        assert not (place / BARRIER_FILE).exists()
