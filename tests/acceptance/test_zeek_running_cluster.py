"""Real Zeeks run on, whatever is refused, timed out, started again or lost beside them."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fleet import SMALL_CLUSTER, Fleet, hub_ports, ini

from support.ports import free_ports
from support.waiting import until

pytestmark = [pytest.mark.zeek, pytest.mark.skipif(shutil.which("zeek") is None, reason="no zeek on PATH")]


def elsewhere(instance: str, nodes: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    return {name: {**keys, "instance": instance} for name, keys in nodes.items()}


def changes(fleet: Fleet, file: Path, nodes: dict[str, dict[str, str]]) -> dict[str, str]:
    """Deploy it; by node, what the result says was done about it."""
    file.write_text(ini(["here"], nodes))
    done = fleet.zeekfleet("deploy-config", str(file))
    assert done.code == 0, done
    head, *lines = done.out.splitlines()
    place = head.index("CHANGE")
    return {line.split()[1]: line[place:].strip() for line in lines if line.startswith("here ")}


def deployed(fleet: Fleet) -> set[str]:
    return {row["name"] for row in fleet.client("get-config", "--deployed", "--as-json").json["nodes"]}


@pytest.fixture(scope="module", params=("zeromq", "broker"))
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """With the five nodes, deployed."""
    fleet = Fleet(tmp_path_factory.mktemp("z"))
    try:
        fleet.start_up(engine="zeek", backend=request.param, instance_wait=1, **hub_ports(request.param))
        fleet.deploy(ini(["here"], SMALL_CLUSTER))
        fleet.wait_for_states("RUNNING", *SMALL_CLUSTER)
        yield fleet
    finally:
        fleet.stop()


def test_what_is_refused_or_timed_out_changes_nothing(fleet: Fleet, tmp_path: Path) -> None:
    before = fleet.pids()
    unheard = fleet.client("deploy-config", "-", text=ini(["ghost"], elsewhere("ghost", SMALL_CLUSTER)))
    assert unheard.code == 1
    assert "request timed out" in unheard.out
    assert "ghost" in unheard.out
    assert "never connected" in unheard.out
    missing = {**SMALL_CLUSTER, "worker-2": {**SMALL_CLUSTER["worker-2"], "scripts": "nosuch-script"}}
    unreadable = fleet.client("deploy-config", "-", text=ini(["here"], missing))
    assert unreadable.code == 1
    assert "nosuch-script" in unreadable.out
    for content in ("", "[instances]\nhere\n"):
        file = tmp_path / "empty.ini"
        file.write_text(content)
        assert fleet.zeekfleet("deploy-config", str(file)).code == 1
    assert fleet.pids() == before
    assert deployed(fleet) == SMALL_CLUSTER.keys()


def test_the_result_says_who_was_restarted_and_why(fleet: Fleet, tmp_path: Path) -> None:
    before = fleet.pids()
    [port] = free_ports()
    nodes = {**SMALL_CLUSTER, "worker-1": {**SMALL_CLUSTER["worker-1"], "interface": "any"}}
    unchanged = dict.fromkeys(SMALL_CLUSTER, "unchanged")
    told = changes(fleet, tmp_path / "cluster.ini", nodes)
    assert told == {**unchanged, "worker-1": "restarted (interface)"}
    nodes["worker-2"] = {**SMALL_CLUSTER["worker-2"], "metrics_port": str(port)}
    told = changes(fleet, tmp_path / "cluster.ini", nodes)
    because = "restarted (metrics_port of worker-2)"
    assert told == {**unchanged, "worker-2": "restarted (metrics_port)", "manager": because}
    after = fleet.pids()
    assert {name for name in SMALL_CLUSTER if before[name] != after[name]} == {"worker-1", "worker-2", "manager"}


@pytest.mark.long
def test_up_with_a_file_ends_with_that_file_running(new_fleet: Callable[[], Fleet], tmp_path: Path) -> None:
    fleet = new_fleet()
    file = tmp_path / "cluster.ini"
    file.write_text(ini(["here"], SMALL_CLUSTER))
    daemon = fleet.start_up(str(file), engine="zeek", **hub_ports("zeromq"))
    fleet.wait_for_states("RUNNING", *SMALL_CLUSTER)
    assert daemon.stop() == 0
    file.write_text(ini(["here"], {name: keys for name, keys in SMALL_CLUSTER.items() if name != "worker-2"}))
    daemon.start()
    until(lambda: deployed(fleet) == SMALL_CLUSTER.keys() - {"worker-2"}, "the file's present content is deployed")
    fleet.wait_for_states("RUNNING", *(SMALL_CLUSTER.keys() - {"worker-2"}))
    assert "still pending" not in str(daemon.log)
    assert "error" not in str(daemon.log)
    assert fleet.pids().keys() == SMALL_CLUSTER.keys() - {"worker-2"}


@pytest.mark.long
def test_a_lost_host_is_shown_and_comes_back(new_fleet: Callable[[], Fleet]) -> None:
    fleet = new_fleet()
    engine = {"engine": "zeek", **hub_ports("zeromq")}
    controller = fleet.start_controller()
    fleet.start_agent("a1", **engine)
    lost = fleet.start_agent("b1", **engine)
    fleet.wait_for_instances("a1", "b1")
    there = ("worker-1", "worker-2")
    nodes = {name: {**keys, "instance": "b1" if name in there else "a1"} for name, keys in SMALL_CLUSTER.items()}
    fleet.deploy(ini(["a1", "b1"], nodes))
    fleet.wait_for_states("RUNNING", *SMALL_CLUSTER)
    before = fleet.pids()
    agent = fleet.nodes()["b1"]["pid"]
    lost.kill()
    for pid in (agent, *(before[name] for name in there)):
        os.kill(pid, signal.SIGKILL)
    assert controller.log.wait_for("instance b1 is gone")
    shown = fleet.zeekfleet("status")
    assert shown.code == 3
    assert shown.out.count("unreachable, last seen ") >= len(there)
    document = fleet.zeekfleet("--json", "status").json
    assert document["nodes"] == {"wanted": len(SMALL_CLUSTER), "running": len(SMALL_CLUSTER) - len(there)}
    lost.start()
    fleet.wait_for_states("RUNNING", *SMALL_CLUSTER)
    until(lambda: fleet.zeekfleet("status").code == 0, "all is well again")
    after = fleet.pids()
    assert {name for name in SMALL_CLUSTER if before[name] != after[name]} <= set(there)
