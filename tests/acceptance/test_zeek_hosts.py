"""One cluster of real Zeeks on two hosts: manager and logger here, workers there, and nobody else may join."""

from __future__ import annotations

import json
import shutil
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from fleet import Fleet, ini, node
from namespaces import Host, possible, two_hosts
from processes import processes_of

from support.waiting import until
from zeekfleet.node.zeek.installation import examine
from zeekfleet.planning.zeek_versions import ZEROMQ_CURVE, ZeekVersion, text_of

pytestmark = [
    pytest.mark.zeek,
    pytest.mark.skipif(shutil.which("zeek") is None, reason="no zeek on PATH"),
    pytest.mark.skipif(not possible(), reason="needs root and ip to make network namespaces"),
]


def version() -> ZeekVersion:
    """Of the Zeek on PATH; the oldest thinkable without one."""
    program = shutil.which("zeek")
    return examine(program).version if program is not None else (0, 0, 0)


VERSION = version()
needs_curve = pytest.mark.skipif(VERSION < ZEROMQ_CURVE, reason="this zeek has no CURVE")
WORKERS = ("worker-01", "worker-02")
NODES = {
    "manager": node("a1", "manager"),
    "logger": node("a1", "logger"),
    **{name: node("a2", "worker", interface="lo", scripts="ignore_checksums=T") for name in WORKERS},
}


def mechanism(host: str, port: int) -> str:
    """How a ZeroMQ socket wants to know its peers, by its greeting (ZMTP 3.1)."""
    ours = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01"  # up to our own mechanism, which would be refused
    with socket.create_connection((host, port), 10) as connection:
        connection.sendall(ours)
        greeting = b""
        while len(greeting) < 32 and (more := connection.recv(64)):
            greeting += more
    return greeting[12:32].rstrip(b"\0").decode()


def secret_keys(fleet: Fleet) -> set[str]:
    keys = json.loads((fleet.root / "c" / "nodes" / "controller" / "curve-keys.json").read_text())
    assert {len(key) for key in keys.values()} == {40}
    return {keys["server_secret"], keys["client_secret"]}


def conversation_seen(fleet: Fleet, there: Host) -> Callable[[], bool]:
    with there.inside():
        server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    log = fleet.root / "a1" / "nodes" / "logger" / "conn.log"

    def seen() -> bool:
        with there.inside(), socket.create_connection(("127.0.0.1", port), 5) as client:
            server.accept()[0].close()
            client.recv(1)
        return log.exists() and f"\t127.0.0.1\t{port}\ttcp\t" in log.read_text()

    return seen


@pytest.mark.parametrize(
    ("dialled", "backend"),
    [
        pytest.param(False, "zeromq", id="agents dial", marks=needs_curve),
        pytest.param(True, "zeromq", id="controller dials", marks=needs_curve),
        pytest.param(False, "broker", id="broker"),
    ],
)
def test_workers_there_and_manager_here(new_fleet: Callable[[], Fleet], dialled: bool, backend: str) -> None:
    with two_hosts("10.77.0.1", "10.77.0.2") as (here, there), here.inside():
        fleet = new_fleet()
        try:
            fleet.certify(here.address, {"a1": here.address, "a2": there.address})
            fleet.start_controller(listen=here.address)
            instances = ["a1", "a2"]
            for name, host in (("a1", here), ("a2", there)):
                with host.inside():
                    dials = {"controller": "none", "listen": host.address, "port": 2151}
                    waits = {"controller": f"{here.address}:{fleet.agent_port}"}
                    fleet.start_agent(name, engine="zeek", backend=backend, **(dials if dialled else waits))
            if dialled:
                instances = [f"a1 = {here.address}:2151", f"a2 = {there.address}:2151"]
            else:
                fleet.wait_for_instances("a1", "a2")
            fleet.deploy(ini(instances, NODES))
            fleet.wait_for_states("RUNNING", *NODES)
            assert fleet.client("get-id-value", "Cluster::node").results == {name: name for name in NODES}
            # Each agent knows its own nodes only, although hellos of all pass by both.
            for name in ("a1", "a2"):
                log = (fleet.root / name / "nodes" / name / "stderr").read_text()
                assert all(f"node {other}: " not in log for other, keys in NODES.items() if keys["instance"] != name)
            until(conversation_seen(fleet, there), "the logger here has what a worker there saw")
            if backend == "zeromq":
                _nobody_else_may_join(fleet, here)
        finally:
            fleet.stop()


@pytest.mark.skipif(VERSION >= ZEROMQ_CURVE, reason="this zeek has CURVE")
def test_a_zeek_that_cannot_encrypt_is_refused(new_fleet: Callable[[], Fleet]) -> None:
    with two_hosts("10.77.0.1", "10.77.0.2") as (here, there), here.inside():
        fleet = new_fleet()
        try:
            fleet.start_controller(listen=here.address, insecure=True)
            for name, host in (("a1", here), ("a2", there)):
                with host.inside():
                    fleet.start_agent(
                        name, engine="zeek", controller=f"{here.address}:{fleet.agent_port}", insecure=True
                    )
            fleet.wait_for_instances("a1", "a2")
            answer = fleet.client("deploy-config", "-", text=ini(["a1", "a2"], NODES))
            assert answer.code == 1
            assert {error.split(":")[1].strip() for error in answer.errors} == {
                f"Zeek {text_of(VERSION)} cannot encrypt ZeroMQ between hosts"
            }
            assert fleet.pids() == {}
        finally:
            fleet.stop()


def _nobody_else_may_join(fleet: Fleet, here: Host) -> None:
    logger_port = fleet.nodes()["logger"]["port"]
    assert {mechanism(here.address, port) for port in (5555, 5556, logger_port)} == {"CURVE"}
    secrets = secret_keys(fleet)
    for pid, command in processes_of(fleet.root).items():
        assert not any(secret in command for secret in secrets), pid
    holders = [file for file in fleet.root.rglob("*") if file.is_file() and _holds(file, secrets)]
    assert fleet.root / "c" / "nodes" / "controller" / "curve-keys.json" in holders
    assert {stat.filemode(file.stat().st_mode) for file in holders} == {"-rw-------"}
    assert not [file for file in holders if file.suffix == ".log" or file.name in ("stdout", "stderr")]
    configuration = fleet.client("get-config", "--deployed").out
    assert not any(secret in configuration for secret in secrets)


def _holds(file: Path, secrets: set[str]) -> bool:
    try:
        content = file.read_bytes()
    except OSError:
        return False
    return any(secret.encode() in content for secret in secrets)
