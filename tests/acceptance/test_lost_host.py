"""A host that is lost stays in every view, as what it is; and what the journal of a service shows of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from fleet import Fleet, ini, node

from support.waiting import until
from zeekfleet import Client


def zeekfleet(fleet: Fleet, *words: str) -> tuple[int, str]:
    answer = fleet.zeekfleet(*words)
    return answer.code, answer.out


def states(fleet: Fleet, verb: str) -> dict[str, str]:
    """What a table says of each node's state: the fourth column, by its heading's place."""
    _, out = zeekfleet(fleet, verb)
    head, *lines = out.splitlines()
    place = head.index("STATE")
    rows = [line for line in lines if len(line.split()) > 3 and not line.startswith(("error", " "))]
    return {line.split()[1]: line[place:].split("  ")[0].strip() for line in rows if len(line) > place}


def heard_of(fleet: Fleet, instance: str) -> set[str]:
    """The states of an instance's nodes, as they were last heard of."""

    async def ask() -> set[str]:
        async with Client("127.0.0.1", fleet.client_port) as client:
            presences = (await client.wanted()).presences or {}
        return {report.state.name for report in presences[instance].reports}

    return asyncio.run(ask())


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.long
def test_a_host_that_is_lost_does_not_vanish(new_fleet: Callable[[], Fleet]) -> None:
    fleet = new_fleet()
    controller = fleet.start_controller(request_timeout=5)
    fleet.start_agent("a1")
    lost = fleet.start_agent("b1")
    fleet.wait_for_instances("a1", "b1")
    fleet.deploy(ini(["a1", "b1"], {"m": node("a1", "manager"), "w": node("b1", "worker")}))
    before = fleet.nodes()
    agent, worker = before["b1"]["pid"], before["w"]["pid"]
    stem = parent(agent)
    until(lambda: "RUNNING" in heard_of(fleet, "b1"), "the controller has heard of the worker")

    lost.kill()  # the supervisor alone: agent and node run on
    away = "unknown, its supervisor is away since "
    until(lambda: states(fleet, "status")["w"].startswith(away), "status tells of the supervisor")
    assert states(fleet, "get-nodes")["w"].startswith(away)
    assert "its supervisor is away since " in fleet.client("get-nodes").errors[0]["error"]
    for words in (("restart", "w"), ("get-id-value", "bits_per_uid", "w")):
        refused = fleet.zeekfleet(*words)
        assert refused.code == 1
        assert "w: its supervisor is away since " in refused.err, refused
    assert states(fleet, "status")["w"].startswith(away), "a restart that was not tried has failed no node"

    for pid in (stem, agent):
        os.kill(pid, signal.SIGKILL)
    assert controller.log.wait_for("instance b1 is gone")
    assert states(fleet, "get-nodes")["w"].startswith("unreachable, last seen ")
    assert "unreachable, last seen " in zeekfleet(fleet, "get-instances")[1]
    code, out = zeekfleet(fleet, "--json", "status")
    document = json.loads(out)
    assert code == 3
    assert document["nodes"] == {"wanted": 2, "running": 1}
    assert document["results"]["b1"]["w"]["state"] == "UNREACHABLE"
    assert document["results"]["b1"]["w"]["last"]["state"] == "RUNNING"
    assert document["results"]["b1"]["w"]["last"]["pid"] == worker
    assert not document["instances"]["b1"]["connected"]
    assert fleet.client("get-nodes").results.keys() == {"a1"}  # zeek-client sees what it always did

    lost.start()
    until(lambda: zeekfleet(fleet, "status")[0] == 0, "all is well again")
    assert fleet.nodes()["w"]["pid"] == worker


@pytest.mark.long
def test_the_journal_of_an_agent(new_fleet: Callable[[], Fleet]) -> None:
    """A controller that cannot be reached, and a crash: each is one line on the foreground's stderr."""
    fleet = new_fleet()
    agent = fleet.start_agent("a1", log_format="json")
    assert agent.log.wait_for("cannot connect to controller")
    fleet.start_controller()
    assert agent.log.wait_for("connected to controller")
    fleet.wait_for_instances("a1")
    fleet.deploy(ini(["a1"], {"m": node("a1", "manager")}))
    assert agent.log.wait_for("deployment of configuration")
    for number in (1, 2):
        pid = fleet.nodes()["m"]["pid"]
        os.kill(pid, signal.SIGKILL)
        assert agent.log.wait_for("node 'm' was killed by SIGKILL", times=number)
        fleet.wait_for_states("RUNNING", "m")
    lines = [json.loads(line) for line in str(agent.log).splitlines()]
    news = [line for line in lines if "kind" in line]
    address = f"127.0.0.1:{fleet.agent_port}"
    assert [(line["kind"], line["level"], line["address"]) for line in news if line["kind"] == "connection"] == [
        ("connection", "warning", address), ("connection", "info", address),
    ]  # fmt: skip
    (deployment,) = [line for line in news if line["kind"] == "deployment"]
    assert deployment["success"]
    assert deployment["event"].endswith(": 1 node run")
    crashes = [line for line in news if line["kind"] == "crash"]
    assert [(line["node"], line["exit"], line["attempt"]) for line in crashes] == [
        ("m", "SIGKILL", 1), ("m", "SIGKILL", 2),
    ]  # fmt: skip
    assert crashes[1]["next_start"] > 0
    assert ", 2nd time in 60 s" in crashes[1]["event"]
