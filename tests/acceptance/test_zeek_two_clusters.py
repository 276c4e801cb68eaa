"""Two clusters of real Zeeks on one host, deployed at the same instant by agents that know nothing of each other."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from fleet import Fleet, ini, node

from support.waiting import until

pytestmark = [pytest.mark.zeek, pytest.mark.skipif(shutil.which("zeek") is None, reason="no zeek on PATH")]

NODES = {
    "manager": node("here", "manager"),
    "logger": node("here", "logger"),
    "worker": node("here", "worker", interface="lo"),
}


def hub_ports(fleet: Fleet) -> set[str]:
    layout = fleet.root / "up" / "nodes" / "manager" / "zeekfleet-launch.zeek"
    lines = [line for line in layout.read_text().splitlines() if "ZeroMQ::listen_x" in line]
    return {line.rpartition(":")[2].rstrip('";') for line in lines}


def all_answer(fleet: Fleet) -> bool:
    return fleet.client("get-id-value", "Cluster::node").results == {name: name for name in NODES}


def test_two_clusters_take_ports_of_their_own(new_fleet: Callable[[], Fleet]) -> None:
    fleets = [new_fleet(), new_fleet()]
    for fleet in fleets:
        fleet.start_up(engine="zeek")
    with ThreadPoolExecutor(len(fleets)) as threads:
        list(threads.map(lambda fleet: fleet.deploy(ini(["here"], NODES)), fleets))
    first, second = map(hub_ports, fleets)
    assert len(first | second) == 4, (first, second)
    for fleet in fleets:
        until(lambda fleet=fleet: all_answer(fleet), "all nodes of both answer")
