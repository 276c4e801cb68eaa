"""Nodes that are alive but deaf, and nodes that never say hello: found, told and restarted."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from trees import INSTANCE, Tree, cluster
from trees import node as tree_node

from support.daemons import Daemon
from support.ports import free_ports
from zeekfleet import Client
from zeekfleet.broker.events.agent import NotifyError
from zeekfleet.broker.events.controller import DeployRequest, StageConfigurationRequest
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node, fresh_id
from zeekfleet.transport.bus import Delivery

NAME = "deaf-instance"


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a short name: the nodes dial a socket below it."""
    return tmp_path_factory.mktemp("d")


@pytest.fixture
async def ports() -> tuple[int, ...]:
    return tuple(free_ports(3))


async def deployed(client: Client, **env: str) -> None:
    node = Node("w", NAME, ClusterRole.WORKER, State.RUNNING, env=env)
    manager = Node("m", NAME, ClusterRole.MANAGER, State.RUNNING)
    await client.deploy_config(Configuration(instances=(Instance(NAME),), nodes=(manager, node)), timeout=60)


async def process_of(client: Client) -> tuple[State, int | None]:
    for status in (await client.get_nodes()).instances.get(NAME, ()):
        if status.node == "w":
            return status.state, status.pid
    return State.UNKNOWN, None


class News:
    """Hears the agents, so that nothing is asked before something has changed."""

    def __init__(self) -> None:
        self._arrived = asyncio.Event()

    def __call__(self, delivery: Delivery) -> None:
        self._arrived.set()

    async def until(self, client: Client, holds: Callable[[State, int | None], bool]) -> None:
        """Wait until what is known of the worker satisfies the condition."""
        async with asyncio.timeout(60):
            while True:
                self._arrived.clear()
                if holds(*await process_of(client)):
                    return
                await self._arrived.wait()


def tree(directory: Path, ports: tuple[int, ...], *options: str) -> Daemon:
    clients, agents, first = ports
    return Daemon(
        directory,
        *("up", "--engine", "sim", "--agent-name", NAME, "--state-dir", str(directory / "state")),
        *("--spool-dir", str(directory / "spool"), "--agent-port", "0", "--supervisor-port", "0"),
        *("--websocket-port", str(clients), "--port", str(agents), "--grace", "0.2"),
        *("--auto-assign-metrics-ports", "no", "--auto-assign-start-port", str(first)),
        *options,
    )


async def test_a_node_that_never_says_hello_is_replaced(place: Path, ports: tuple[int, ...]) -> None:
    with tree(place, ports, "--start-limit", "0.5", "--agent-request-timeout", "0.5") as daemon:
        await asyncio.to_thread(daemon.ready)
        news = News()
        async with Client("127.0.0.1", ports[0], watcher=news) as client:
            await deployed(client, ZEEKFLEET_SIM_SILENT="1")
            _, former = await process_of(client)
            await news.until(client, lambda _, pid: pid not in (None, former))
        assert await asyncio.to_thread(daemon.stop) == 0


def test_one_that_never_says_hello_is_a_failed_one_in_the_end(place: Path) -> None:
    with Tree(place, "--start-limit", "0.5", "--agent-request-timeout", "0.5") as whole, whole.link() as link:
        whole.when(link, lambda found: INSTANCE in found)
        configuration = cluster(tree_node("w0"), tree_node("mute", ZEEKFLEET_SIM_SILENT="1"))
        link.request(StageConfigurationRequest(fresh_id(), configuration), 30)
        link.request(DeployRequest(fresh_id()), 60)
        told = whole.hears(link, lambda event: isinstance(event, NotifyError) and "time after time" in event.msg)
        assert isinstance(told, NotifyError)
        assert told.node == "mute"
        # What comes next is shown as what it is, although a process runs again.
        last = whole.nodes(link)["mute"].pid
        whole.when(link, lambda now: now["mute"].state is State.FAILED and now["mute"].pid != last)


@pytest.mark.parametrize("revival", [pytest.param("yes", marks=pytest.mark.long), "no"])
def test_the_revival_policy_decides_about_a_deaf_node(place: Path, revival: str) -> None:
    options = ("--health-interval", "0.3", "--health-misses", "2", "--revival", revival)
    with Tree(place, *options) as whole, whole.link() as link:
        whole.when(link, lambda found: INSTANCE in found)
        pids = whole.deployed(link, cluster(tree_node("w0")))
        os.kill(pids["w0"], signal.SIGSTOP)
        told = whole.hears(link, lambda event: isinstance(event, NotifyError) and "was killed by SIGABRT" in event.msg)
        assert isinstance(told, NotifyError)
        if revival == "no":
            assert "not started again" in told.msg
            found = whole.when(link, lambda now: now["w0"].state is State.FAILED)
            assert found["w0"].pid == pids["w0"]  # the last one known
            assert not psutil.pid_exists(pids["w0"])
        else:
            whole.when(link, lambda now: now["w0"].state is State.RUNNING and now["w0"].pid not in (None, pids["w0"]))


async def test_a_stopped_process_is_replaced(place: Path, ports: tuple[int, ...]) -> None:
    with tree(place, ports, "--health-interval", "0.3", "--health-misses", "2") as daemon:
        await asyncio.to_thread(daemon.ready)
        news = News()
        async with Client("127.0.0.1", ports[0], watcher=news) as client:
            await deployed(client)
            _, former = await process_of(client)
            assert former is not None
            os.kill(former, signal.SIGSTOP)
            await news.until(client, lambda state, pid: state is State.RUNNING and pid not in (None, former))
        assert await asyncio.to_thread(daemon.stop) == 0


def test_several_that_are_deaf_cost_their_grace_once(place: Path) -> None:
    grace = 2.0
    options = ("--health-interval", "0.3", "--health-misses", "2", "--grace", str(grace))
    with Tree(place, *options) as whole, whole.link() as link:
        whole.when(link, lambda found: INSTANCE in found)
        pids = whole.deployed(link, cluster(*(tree_node(f"w{number}") for number in range(5))))
        deaf = {name: pids[name] for name in ("w0", "w1", "w2", "w3")}
        began = time.monotonic()
        for pid in deaf.values():
            os.kill(pid, signal.SIGSTOP)  # which keeps SIGTERM waiting
        found = whole.when(
            link, lambda now: all(now[n].state is State.RUNNING and now[n].pid not in (None, deaf[n]) for n in deaf)
        )
        assert time.monotonic() - began < 3 * grace
        assert {name: found[name].pid for name in ("manager", "w4")} == {n: pids[n] for n in ("manager", "w4")}


def test_where_the_policy_says_so_a_deaf_node_is_told_and_left_alone(place: Path) -> None:
    options = ("--health-interval", "0.2", "--health-misses", "2", "--health-restart", "no")
    with Tree(place, *options) as whole, whole.link() as link:
        whole.when(link, lambda found: INSTANCE in found)
        pids = whole.deployed(link, cluster(tree_node("w0"), tree_node("w1")))
        os.kill(pids["w0"], signal.SIGSTOP)
        try:
            told = whole.hears(link, lambda event: isinstance(event, NotifyError) and event.node == "w0")
            assert isinstance(told, NotifyError)
            assert told.msg == "node w0 has not answered 2 health checks"
            found = whole.when(link, lambda now: now["w0"].state is State.FAILED)
            assert {name: found[name].pid for name in pids} == pids
        finally:
            os.kill(pids["w0"], signal.SIGCONT)
        assert whole.running(link, "manager", "w1") == {name: pids[name] for name in ("manager", "w1")}
