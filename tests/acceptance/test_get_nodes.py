"""get-nodes and get-instances."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from fleet import Fleet, ini, node

from support.daemons import alive


def test_every_field_of_every_kind_of_node(fleet: Fleet) -> None:
    fleet.deploy(
        ini(
            ["a1", "a2"],
            {
                "manager": node("a1", "manager"),
                "logger": node("a1", "logger"),
                "proxy": node("a2", "proxy"),
                "w1": node("a2", "worker", interface="lo"),
            },
        )
    )
    answer = fleet.client("get-nodes")
    assert answer.code == 0
    assert answer.errors == []
    shown = answer.results
    pids = {name: entry.pop("pid") for instance in shown.values() for name, entry in instance.items()}
    first, metrics = fleet.first_port, fleet.first_metrics_port
    assert shown == {
        "a1": {
            "a1": {"state": "RUNNING", "mgmt_role": "AGENT", "cluster_role": None},
            "logger": {
                "state": "RUNNING",
                "mgmt_role": None,
                "cluster_role": "LOGGER",
                "port": first + 1,
                "metrics_port": metrics + 1,
            },
            "manager": {
                "state": "RUNNING",
                "mgmt_role": None,
                "cluster_role": "MANAGER",
                "port": first,
                "metrics_port": metrics,
            },
        },
        "a2": {
            "a2": {"state": "RUNNING", "mgmt_role": "AGENT", "cluster_role": None},
            "proxy": {
                "state": "RUNNING",
                "mgmt_role": None,
                "cluster_role": "PROXY",
                "port": first + 2,
                "metrics_port": metrics + 2,
            },
            "w1": {"state": "RUNNING", "mgmt_role": None, "cluster_role": "WORKER", "metrics_port": metrics + 3},
        },
    }
    assert all(alive(pid) for pid in pids.values())
    assert len(set(pids.values())) == 6
    assert Path(f"/proc/{pids['w1']}/cwd").readlink() == fleet.root / "a2" / "nodes" / "w1"


def test_output_is_sorted_and_indented_by_two(fleet: Fleet) -> None:
    answer = fleet.client("get-nodes")
    assert answer.out == json.dumps(answer.json, indent=2, sort_keys=True) + "\n"


def test_instances_that_connected(fleet: Fleet) -> None:
    fleet.wait_for_instances("a1", "a2")
    answer = fleet.client("get-instances")
    assert answer.code == 0
    assert answer.json == {"a1": {"host": "127.0.0.1"}, "a2": {"host": "127.0.0.1"}}


def test_without_instances(blank: Fleet) -> None:
    instances = blank.client("get-instances")
    assert (instances.code, instances.json) == (0, {})
    nodes = blank.client("get-nodes")
    assert nodes.code == 1
    assert nodes.json == {"errors": [{"error": "no instances connected", "source": None}], "results": {}}


def test_an_agent_without_nodes_shows_itself(idle: Fleet) -> None:
    [entry] = idle.client("get-nodes").results["a1"].values()
    assert entry["mgmt_role"] == "AGENT"


def test_an_agent_that_does_not_answer_is_told_beside_the_others_and_one_that_left_is_not(idle: Fleet) -> None:
    other = idle.start_agent("a2")
    del idle.agents["a2"]
    idle.wait_for_instances("a1", "a2")
    pid = idle.nodes()["a2"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        answer = idle.client("get-nodes")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert answer.code == 1
    assert answer.errors == [{"source": "a2", "error": "request timed out"}]
    assert list(answer.results) == ["a1"]
    assert other.stop() == 0
    idle.wait_for_instances("a1")
    assert list(idle.client("get-nodes").results) == ["a1"]


def test_up_shows_the_controller_with_its_port_beside_the_agent(new_fleet) -> None:
    fleet: Fleet = new_fleet()
    file = fleet.root / "cluster.ini"
    file.write_text(ini(["here"], {"manager": node("here", "manager"), "w": node("here", "worker")}))
    daemon = fleet.start_up(str(file))
    assert daemon.out.wait_for("manager", times=1)
    fleet.wait_for_instances("here")
    fleet.wait_for_states("RUNNING", "manager", "w")
    shown = fleet.nodes()
    controller = shown["controller"]
    assert controller.pop("pid")
    assert controller == {
        "state": "RUNNING",
        "mgmt_role": "CONTROLLER",
        "cluster_role": None,
        "port": fleet.agent_port,
    }
    assert shown["here"]["mgmt_role"] == "AGENT"
    assert "port" not in shown["here"]
    assert sorted(shown) == ["controller", "here", "manager", "w"]
    assert fleet.client("get-config", "--deployed").code == 0
