"""Checking before a deployment: what is wrong is named, and what runs is not touched."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fleet import Answer, Fleet, ini, node

from support.ports import free_ports
from support.waiting import PATIENCE


def check(fleet: Fleet, configuration: str, *words: str) -> Answer:
    """Run ``zeekfleet check``."""
    command = [sys.executable, "-m", "zeekfleet", "--controller", f"127.0.0.1:{fleet.client_port}", "check", "-"]
    done = subprocess.run(
        [*command, *words], input=configuration, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return Answer(done.returncode, done.stdout, done.stderr)


GOOD = {
    "manager": node("a1", "manager"),
    "w1": node("a1", "worker", interface="eth0"),
    "w2": node("a2", "worker", interface="eth0"),
}


def test_a_good_configuration(fleet: Fleet) -> None:
    before = fleet.client("get-config", "--staged").out
    answer = check(fleet, ini(["a1", "a2"], GOOD), "--json")
    assert answer.code == 0, answer
    assert answer.json == {"errors": [], "results": {"checked": ["a1", "a2"], "unchecked": {}}}
    assert "warning: there is no proxy: known_hosts.log" in answer.err
    whole = check(fleet, ini(["a1", "a2"], {**GOOD, "proxy": node("a1", "proxy")}))
    assert "nothing speaks against" in whole.out
    assert "proxy" not in whole.err
    assert fleet.client("get-config", "--staged").out == before


def test_what_is_wrong_with_the_file_is_told_without_a_controller(fleet: Fleet) -> None:
    command = [sys.executable, "-m", "zeekfleet", "--controller", "127.0.0.1:1", "check", "-", "--json"]
    text = ini(["a1"], {"same": node("a1", "worker"), "other": node("a1", "worker", port=70), "third": GOOD["manager"]})
    broken = text.replace("[third]\n", "[third]\nport = 70\n")
    done = subprocess.run(command, input=broken, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert "multiple nodes on instance 'a1' using port 70/tcp" in done.stdout


def test_a_cpu_that_is_not_there_and_a_missing_script(fleet: Fleet) -> None:
    fleet.deploy(ini(["a1", "a2"], GOOD))
    pids, deployed = fleet.pids(), fleet.client("get-config", "--deployed", "--as-json").out
    bad = {
        **GOOD,
        "w1": node("a1", "worker", interface="eth0", cpu_affinity=4000),
        "w2": node("a2", "worker", interface="eth0", scripts="/nonexistent/detect.zeek"),
    }
    expected = [
        "node 'w1': CPU 4000 to pin to is offline or absent",
        "node 'w2': fatal error: can't find /nonexistent/detect.zeek",
    ]
    answer = fleet.client("deploy-config", "-", text=ini(["a1", "a2"], bad))
    assert answer.code == 1
    assert answer.json == {"errors": expected, "results": {}}
    assert fleet.pids() == pids
    assert fleet.client("get-config", "--deployed", "--as-json").out == deployed
    checked = check(fleet, ini(["a1", "a2"], bad), "--json")
    assert checked.code == 1
    assert checked.errors == [
        {"error": expected[0], "instance": "a1", "nodes": ["w1"]},
        {"error": expected[1], "instance": "a2", "nodes": ["w2"]},
    ]
    for sentence in expected:
        assert f"error: {sentence}" in check(fleet, ini(["a1", "a2"], bad)).err


def test_a_port_in_use_is_named_with_its_holder(fleet: Fleet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        text = ini(["a1"], {"m": node("a1", "manager", metrics_port=port)})
        answer = fleet.client("deploy-config", "-", text=text)
        assert answer.code == 1
        [error] = answer.errors
        assert error.startswith(f"node 'm': metrics port {port}/tcp is in use by process {os.getpid()} (")
    fleet.deploy(text)
    fleet.deploy(ini(["a1"], {"m": node("a1", "manager", metrics_port=port, env="X=1")}))  # its own port


def test_ports_that_change_hands_between_instances_of_a_host(fleet: Fleet) -> None:
    first, second = free_ports(2)
    nodes = {
        "m": node("a1", "manager", metrics_port=first),
        "w": node("a2", "worker", interface="eth0", metrics_port=second),
    }
    fleet.deploy(ini(["a1", "a2"], nodes))
    swapped = {
        "m": node("a1", "manager", metrics_port=second),
        "w": node("a2", "worker", interface="eth0", metrics_port=first),
    }
    assert check(fleet, ini(["a1", "a2"], swapped)).code == 0


def test_an_instance_that_is_not_there(fleet: Fleet) -> None:
    answer = check(fleet, ini(["a1", "a9"], {"m": node("a1", "manager")}), "--json")
    assert answer.code == 1
    assert answer.errors == [{"error": "instance 'a9' is not connected, its nodes cannot be checked", "instance": "a9"}]


def test_switched_off(new_fleet: Callable[[], Fleet]) -> None:
    fleet = new_fleet()
    fleet.start_controller(check_before_deploy="no")
    fleet.start_agent("a1")
    nodes = {"good": node("a1", "manager"), "bad": node("a1", "worker", scripts="/nonexistent/x.zeek")}
    answer = fleet.client("deploy-config", "-", text=ini(["a1"], nodes))
    assert answer.code == 1
    assert answer.errors == []
    assert answer.results["nodes"]["good"]["success"] is True
    assert "can't find /nonexistent/x.zeek" in answer.results["nodes"]["bad"]["stderr"]


def test_many_nodes_are_checked_quickly(fleet: Fleet) -> None:
    nodes = {f"w{number}": node("a1", "worker", interface="eth0", cpu_affinity=0) for number in range(32)}
    started = time.monotonic()
    assert check(fleet, ini(["a1"], {"m": node("a1", "manager"), **nodes})).code == 0
    assert time.monotonic() - started < 10


# --- with a real Zeek

real = pytest.mark.skipif(shutil.which("zeek") is None, reason="no zeek on PATH")


def zeek_fleet(fleet: Fleet, **options: object) -> Fleet:
    fleet.start_controller(request_timeout=60, **options)
    xpub, xsub = free_ports(2)
    fleet.start_agent("a1", engine="zeek", zeromq_xpub_port=xpub, zeromq_xsub_port=xsub, request_timeout=50)
    return fleet


IDLE = "workers 'worker-01', 'worker-02' with neither interface nor pcap_file: there is nothing to read"


def cluster(**second: object) -> str:
    workers = {"worker-01": node("a1", "worker"), "worker-02": node("a1", "worker", **second)}
    return ini(["a1"], {"manager": node("a1", "manager"), "logger": node("a1", "logger"), **workers})


@pytest.fixture
def bad_script(tmp_path: Path) -> Path:
    script = tmp_path / "bad.zeek"
    script.write_text("event zeek_init()\n\t{\n\tprint foo;\n\t}\n")
    return script


PATIENT = ["client.request_timeout_secs=70"]


@pytest.mark.zeek
@real
def test_zeek_refuses_a_script_with_file_and_line(new_fleet: Callable[[], Fleet], bad_script: Path) -> None:
    fleet = zeek_fleet(new_fleet())
    answer = fleet.client("deploy-config", "-", text=cluster(), settings=PATIENT)
    assert answer.code == 0, answer
    pids = fleet.pids()
    assert len(pids) == 4
    bad = cluster(scripts=bad_script, cpu_affinity=4000, interface="nosuch0")
    answer = fleet.client("deploy-config", "-", text=bad, settings=PATIENT)
    assert answer.code == 1
    assert answer.results == {}
    cpu, script, interface = sorted(answer.errors)
    assert cpu == "node 'worker-02': CPU 4000 to pin to is offline or absent"
    assert script.startswith(f"node 'worker-02': error in {bad_script}, line 3: unknown identifier foo")
    assert interface.startswith("node 'worker-02': there is no interface 'nosuch0'")
    assert fleet.pids() == pids
    assert {entry["state"] for entry in fleet.nodes().values()} == {"RUNNING"}
    # Nor is anything wrong with what runs, but that its workers have nothing to read.
    assert check(fleet, cluster(), "--json").errors == [{"error": IDLE}]
    assert check(fleet, bad).code == 1


@pytest.mark.zeek
@real
def test_unchecked_the_worker_with_the_bad_script_fails_alone(new_fleet: Callable[[], Fleet], bad_script: Path) -> None:
    fleet = zeek_fleet(new_fleet(), check_before_deploy="no")
    answer = fleet.client("deploy-config", "-", text=cluster(scripts=bad_script), settings=PATIENT)
    assert answer.code == 1
    assert answer.errors == []
    told = answer.results["nodes"]
    assert {name for name, entry in told.items() if entry["success"]} == {"manager", "logger", "worker-01"}
    assert f"error in {bad_script}, line 3: unknown identifier foo" in told["worker-02"]["stderr"]


@pytest.mark.zeek
@real
def test_zeek_refuses_a_setting_of_an_unknown_option_and_a_script_that_is_missing(
    new_fleet: Callable[[], Fleet],
) -> None:
    fleet = zeek_fleet(new_fleet())
    answer = check(fleet, cluster(scripts="Nope::x=1"))
    assert answer.code == 1
    assert "error: node 'worker-02': error: unknown identifier 'Nope::x'" in answer.err
    answer = check(fleet, cluster(scripts="./missing.zeek"))
    assert answer.code == 1
    assert "missing.zeek" in answer.err
    # What is in the node's own directory is found from there.
    directory = fleet.root / "a1" / "nodes" / "worker-02"
    directory.mkdir(parents=True)
    (directory / "missing.zeek").write_text("redef ignore_checksums = T;\n")
    assert check(fleet, cluster(scripts="missing.zeek"), "--json").errors == [{"error": IDLE}]
    assert check(fleet, cluster(scripts="missing"), "--json").errors == [{"error": IDLE}]
