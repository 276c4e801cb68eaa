"""get-id-value."""

from __future__ import annotations

import pytest
from fleet import Fleet, ini, node


@pytest.fixture
def deployed(fleet: Fleet) -> Fleet:
    """Two nodes on each of two instances."""
    nodes = {
        "manager": node("a1", "manager"),
        "w1": node("a1", "worker", interface="lo"),
        "proxy": node("a2", "proxy"),
        "w2": node("a2", "worker"),
    }
    fleet.deploy(ini(["a1", "a2"], nodes))
    return fleet


def test_of_all_nodes(deployed: Fleet) -> None:
    answer = deployed.client("get-id-value", "bits_per_uid")
    assert answer.code == 0
    assert answer.json == {"errors": [], "results": {"manager": 96, "proxy": 96, "w1": 96, "w2": 96}}


def test_values_are_each_nodes_own(deployed: Fleet) -> None:
    answer = deployed.client("get-id-value", "Cluster::node")
    assert answer.results == {name: name for name in ("manager", "proxy", "w1", "w2")}


def test_of_some_nodes(deployed: Fleet) -> None:
    answer = deployed.client("get-id-value", "interfaces", "w1", "proxy")
    assert answer.code == 0
    assert answer.json == {"errors": [], "results": {"proxy": "", "w1": "lo"}}


def test_structured_values(deployed: Fleet) -> None:
    answer = deployed.client("get-id-value", "Cluster::nodes", "w1")
    assert answer.results["w1"]["manager"]["node_type"] == "Cluster::MANAGER"
    assert answer.results["w1"]["w2"]["manager"] == "manager"


def test_unknown_node(deployed: Fleet) -> None:
    answer = deployed.client("get-id-value", "bits_per_uid", "nobody")
    assert answer.code == 1
    assert answer.json == {"errors": [{"source": "nobody", "error": "unknown cluster node"}], "results": {}}


def test_unknown_nodes_beside_known_ones(deployed: Fleet) -> None:
    answer = deployed.client("get-id-value", "bits_per_uid", "w2", "nobody", "noone")
    assert answer.code == 1
    assert answer.results == {"w2": 96}
    assert answer.errors == [
        {"source": "nobody", "error": "unknown cluster node"},
        {"source": "noone", "error": "unknown cluster node"},
    ]


def test_an_agent_is_no_cluster_node(deployed: Fleet) -> None:
    answer = deployed.client("get-id-value", "bits_per_uid", "a1")
    assert answer.errors == [{"source": "a1", "error": "unknown cluster node"}]


def test_unknown_identifier(deployed: Fleet) -> None:
    answer = deployed.client("get-id-value", "No::such_thing")
    assert answer.code == 1
    assert answer.json == {
        "errors": [{"source": name, "error": "unknown id"} for name in ("manager", "w1", "proxy", "w2")],
        "results": {},
    }


def test_identifier_without_value(deployed: Fleet) -> None:
    answer = deployed.client("get-id-value", "Zeekfleet::without_value", "w1")
    assert answer.code == 1
    assert answer.errors == [{"source": "w1", "error": "no ID value"}]


def test_without_cluster(blank: Fleet, idle: Fleet) -> None:
    for fleet in (blank, idle):
        answer = fleet.client("get-id-value", "bits_per_uid")
        assert answer.code == 1
        assert answer.json == {"errors": [{"source": None, "error": "no cluster deployed"}], "results": {}}
