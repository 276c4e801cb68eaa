"""What the verbs ``status``, ``diag`` and ``restart --rolling`` show of a cluster in trouble."""

from __future__ import annotations

import json
import os
import signal

import pytest
from fleet import Fleet, ini, node

from support.ports import free_ports
from support.waiting import until

MANAGER = "quiet-manager"


def zeekfleet(fleet: Fleet, *words: str) -> tuple[int, str, str]:
    answer = fleet.zeekfleet(*words)
    return answer.code, answer.out, answer.err


@pytest.fixture
def cluster(fleet: Fleet) -> Fleet:
    """The manager's name is of this module alone: other tests on this fleet kill theirs, and leave reports."""
    fleet.deploy(ini(["a1"], {MANAGER: node("a1", "manager"), "worker-1": node("a1", "worker")}))
    fleet.wait_for_states("RUNNING", MANAGER, "worker-1")
    return fleet


def status(fleet: Fleet) -> dict[str, dict[str, object]]:
    code, out, err = zeekfleet(fleet, "--json", "status")
    assert code in (0, 3), err  # 3: one of them does not run at the moment
    nodes: dict[str, dict[str, object]] = json.loads(out)["results"]["a1"]
    return nodes


def test_a_crash_is_counted_and_its_report_handed_out(cluster: Fleet) -> None:
    before = status(cluster)["worker-1"]
    assert before["state"] == "RUNNING"
    os.kill(int(str(before["pid"])), signal.SIGSEGV)
    restarts = int(str(before["restarts"])) + 1
    until(lambda: status(cluster)["worker-1"]["restarts"] == restarts, "worker-1 was started again")
    until(lambda: status(cluster)["worker-1"]["state"] == "RUNNING", "worker-1 runs again")
    after = status(cluster)["worker-1"]
    assert str(after["last_exit"]).startswith("SIGSEGV")
    assert float(str(after["since"])) > float(str(before["since"]))
    code, out, _ = zeekfleet(cluster, "diag", "worker-1")
    assert code == 0
    assert "was killed by SIGSEGV" in out
    assert str(after["crash_report"]) in out


def test_a_report_is_found_after_later_deployments(cluster: Fleet) -> None:
    """Also by the instance that the node is not on any more, and of a node that has left."""

    def report() -> str | None:
        code, out, err = zeekfleet(cluster, "--json", "diag", "worker-1")
        assert (code, err) == (0, "")
        path: str | None = json.loads(out)["path"]
        return path

    earlier = report()
    os.kill(int(str(status(cluster)["worker-1"]["pid"])), signal.SIGSEGV)
    until(lambda: report() != earlier, "there is a report")
    latest = report()
    manager = {MANAGER: node("a1", "manager")}
    for nodes in (
        manager | {"worker-1": node("a1", "worker", env="CHANGED=1")},
        # Elsewhere it has another port: on one host, the former process may still have that one.
        manager | {"worker-1": node("a2", "worker", metrics_port=free_ports(1)[0])},
        manager,
    ):
        cluster.deploy(ini(["a1", "a2"], nodes))
        assert report() == latest
    code, out, err = zeekfleet(cluster, "--json", "diag", "worker-1", "quiet-*", "gone")
    assert (code, err) == (1, "")
    document = json.loads(out)
    assert document["results"]["worker-1"]["path"] == latest
    assert document["results"][MANAGER]["path"] is None
    assert document["errors"] == [{"error": "node 'gone': unknown cluster node"}]


def test_nodes_by_groups_and_patterns(cluster: Fleet) -> None:
    for words, names in (
        (("workers",), {"worker-1"}),
        ((MANAGER, "worker-*"), {MANAGER, "worker-1"}),
        (("@a1",), {MANAGER, "worker-1"}),
    ):
        code, out, err = zeekfleet(cluster, "--json", "get-id-value", "bits_per_uid", *words)
        assert (code, err) == (0, "")
        assert json.loads(out)["results"].keys() == names
        code, out, err = zeekfleet(cluster, "--json", "status", *words)
        assert (code, err) == (0, "")
        assert json.loads(out)["results"]["a1"].keys() == names
    before = {name: found["pid"] for name, found in status(cluster).items()}
    assert zeekfleet(cluster, "restart", "workers", "proxies") == (
        *(1, "NODE      RESULT\nworker-1  restarted\n"),
        "error: proxies: unknown cluster node\n",
    )
    after = {name: found["pid"] for name, found in status(cluster).items()}
    assert after[MANAGER] == before[MANAGER]
    assert after["worker-1"] != before["worker-1"]
    code, out, err = zeekfleet(cluster, "get-nodes", "workers", "nope")
    assert (code, err) == (1, "error: nope: unknown cluster node\n")
    assert [line.split()[1] for line in out.splitlines()] == ["NODE", "worker-1"]


def test_a_node_without_a_crash_has_no_report(cluster: Fleet) -> None:
    code, out, _ = zeekfleet(cluster, "diag", MANAGER)
    assert (code, out.strip()) == (0, f"node {MANAGER} has not crashed")


def test_an_unknown_node_has_no_report(cluster: Fleet) -> None:
    code, out, err = zeekfleet(cluster, "diag", "nope")
    assert (code, out) == (1, "")
    assert err.strip() == "error: node 'nope': unknown cluster node"


def test_a_rolling_restart_replaces_every_process(cluster: Fleet) -> None:
    before = {name: found["pid"] for name, found in status(cluster).items()}
    code, out, _ = zeekfleet(cluster, "--json", "restart", "--rolling")
    assert code == 0
    assert json.loads(out)["results"] == dict.fromkeys(before, True)
    after = status(cluster)
    assert all(after[name]["pid"] != pid for name, pid in before.items())
    assert {found["state"] for found in after.values()} == {"RUNNING"}
