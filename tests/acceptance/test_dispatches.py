"""net-stats, peer-stats and set-option, on simulated nodes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from fleet import Fleet, ini, node

from support.waiting import PATIENCE

NODES = {
    "manager": node("a1", "manager"),
    "logger": node("a1", "logger"),
    "worker-1": node("a2", "worker"),
    "worker-2": node("a2", "worker"),
}


@pytest.fixture
def deployed(fleet: Fleet) -> Fleet:
    fleet.deploy(ini(["a1", "a2"], NODES))
    return fleet


def verb(fleet: Fleet, *words: str, code: int = 0, table: bool = False) -> Any:
    options = ["--controller", f"127.0.0.1:{fleet.client_port}", *([] if table else ["--json"])]
    done = subprocess.run(
        [sys.executable, "-m", "zeekfleet", *options, *words],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == code, done
    return done.stdout if table else json.loads(done.stdout)


def test_every_node_tells_what_it_has_seen_of_the_network(deployed: Fleet) -> None:
    answer = verb(deployed, "net-stats")
    assert answer["errors"] == []
    assert answer["results"].keys() == NODES.keys()
    assert answer["results"]["worker-1"] == {"received": 0, "dropped": 0, "link": 0, "bytes": 0, "filtered": None}
    assert "RECEIVED" in verb(deployed, "net-stats", "worker-1", table=True)


def test_every_node_tells_whom_it_is_connected_to(deployed: Fleet) -> None:
    answer = verb(deployed, "peer-stats", "manager", "worker-2")
    seen = {name: {peer["node"] for peer in found["peers"]} for name, found in answer["results"].items()}
    assert seen == {name: NODES.keys() - {name} for name in ("manager", "worker-2")}
    assert "logger worker-1 worker-2" in verb(deployed, "peer-stats", "manager", table=True)


def test_an_option_changes_in_the_nodes_that_were_asked(deployed: Fleet) -> None:
    answer = verb(deployed, "set-option", "Site::local_zones", "example.com", "worker-1")
    change = {"name": "Site::local_zones", "before": "[]", "now": '["example.com"]'}
    assert answer == {"results": {"worker-1": change}, "errors": []}
    values = deployed.client("get-id-value", "Site::local_zones").results
    assert values == {name: ["example.com"] if name == "worker-1" else [] for name in NODES}
    everywhere = verb(deployed, "set-option", "Site::local_nets", "10.0.0.0/8, fd00::/8")
    assert {found["now"] for found in everywhere["results"].values()} == {'["10.0.0.0/8","fd00::/8"]'}
    assert everywhere["results"].keys() == NODES.keys()


@pytest.mark.parametrize("name", ["Nosuch::option", "bits_per_uid"])
def test_what_is_no_option_cannot_be_set(deployed: Fleet, name: str) -> None:
    answer = verb(deployed, "set-option", name, "1", "manager", code=1)
    assert answer == {"results": {}, "errors": [{"source": "manager", "error": "unknown option"}]}


def test_unknown_nodes_are_told(deployed: Fleet) -> None:
    answer = verb(deployed, "net-stats", "nobody", "manager", code=1)
    assert answer["errors"] == [{"source": "nobody", "error": "unknown cluster node"}]
    assert answer["results"].keys() == {"manager"}
