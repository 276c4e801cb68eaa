"""Nodes that run but are no part of the cluster: shown, told, and a deployment says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fleet import Fleet, ini, node

from support.waiting import until

LIMIT = 0.3
NODES = {
    "manager": node("here", "manager"),
    "logger": node("here", "logger"),
    "alone": node("here", "worker", env="ZEEKFLEET_SIM_MISSING_PEERS=all"),
    "unheard": node("here", "worker", env="ZEEKFLEET_SIM_MISSING_PEERS=logger"),
    "well": node("here", "worker"),
}


def zeekfleet(fleet: Fleet, *words: str) -> str:
    return fleet.zeekfleet(*words).out


def missing(fleet: Fleet) -> dict[str, list[str]]:
    nodes: dict[str, dict[str, Any]] = json.loads(zeekfleet(fleet, "--json", "status"))["results"]["here"]
    return {name: entry["missing_peers"] for name, entry in nodes.items()}


def told(fleet: Fleet, node: str) -> list[tuple[str, str]]:
    """What the agent has told of a node that concerns its peers: level and sentence."""
    log = fleet.root / "up" / "nodes" / "here" / "management-here.log"
    lines = (line.split("\t") for line in log.read_text().splitlines() if not line.startswith("#"))
    return [(line[2], line[4]) for line in lines if f"node {node} " in line[4] and "connected to" in line[4]]


@pytest.fixture
def cluster(new_fleet: Callable[[], Fleet], tmp_path: Path) -> Fleet:
    fleet = new_fleet()
    fleet.start_up(peer_limit=LIMIT)
    return fleet


def test_nodes_that_are_cut_off_and_come_back(cluster: Fleet) -> None:
    outcome = cluster.deploy(ini(["here"], NODES)).results["nodes"]
    words = "zeekfleet: the node runs, but is not connected to"
    assert {name: entry.get("stderr") for name, entry in outcome.items()} == {
        "manager": None,
        "logger": None,
        "well": None,
        "alone": f"{words} logger, manager\n",
        "unheard": f"{words} logger\n",
    }
    assert all(entry["success"] for entry in outcome.values())
    assert missing(cluster) == {
        "manager": [],
        "logger": [],
        "well": [],
        "alone": ["logger", "manager"],
        "unheard": ["logger"],
    }
    shown = zeekfleet(cluster, "status")
    assert "running, no peers" in shown
    assert "running, without logger" in shown
    until(lambda: told(cluster, "alone") and told(cluster, "unheard"), "the agent has told of both")
    sentence = f"has not been connected to logger, manager for {LIMIT:g} s"
    assert told(cluster, "alone") == [("ERROR", f"node alone runs, but {sentence}")]

    zeekfleet(cluster, "set-option", "Zeekfleet::missing_peers", "", "alone")
    until(lambda: len(told(cluster, "alone")) == 2, "the agent has told of its return")
    assert told(cluster, "alone")[1] == ("INFO", "node alone is connected to all nodes that it needs")
    assert missing(cluster)["alone"] == []
    assert not told(cluster, "well")
