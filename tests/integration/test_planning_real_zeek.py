"""What layout.py writes, read by a real Zeek."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import websocket

from support.ports import free_ports
from support.waiting import until
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import NO_PORT, Address, Port
from zeekfleet.node.zeek.installation import examine
from zeekfleet.planning.layout import STATUS_FILE, Backend, ZeekSettings, command_line, environment, files

ZEEK = shutil.which("zeek")
DEADLINE = 60.0

pytestmark = [pytest.mark.zeek, pytest.mark.skipif(ZEEK is None, reason="no zeek on PATH")]


def settings(**changes: object) -> ZeekSettings:
    zeek = examine(str(ZEEK))
    plain = ZeekSettings(program=zeek.program, zeekpath=zeek.zeekpath, version=zeek.version, user_scripts=())
    return msgspec.structs.replace(plain, **changes)


def prepare(node: NodeConfig, how: ZeekSettings, directory: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    directory.mkdir()
    for name, content in files(node, how).items():
        (directory / name).write_text(content)
    base = {"PATH": os.environ["PATH"], "HOME": str(directory)}
    return (
        command_line(node, how, directory=str(directory), bare_mode=False),
        environment(node, how, directory=str(directory), base=base),
    )


@contextlib.contextmanager
def running(node: NodeConfig, how: ZeekSettings, directory: Path) -> Iterator[Path]:
    argv, env = prepare(node, how, directory)
    with (directory / "stderr").open("wb") as stderr:
        process = subprocess.Popen(argv, env=env, cwd=directory, stdout=stderr, stderr=stderr)
    try:
        yield directory
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def is_running(directory: Path) -> bool:
    status = directory / STATUS_FILE
    return status.exists() and status.read_text().startswith("RUNNING")


def acknowledged(port: int) -> bool:
    try:
        client = websocket.create_connection(f"ws://127.0.0.1:{port}/v1/messages/json", timeout=5)
    except OSError:
        return False
    try:
        client.send("[]")
        return bool(json.loads(client.recv())["type"] == "ack")
    finally:
        client.close()


def endpoint(role: ClusterRole, port: int = 0, metrics_port: int | None = None) -> ClusterEndpoint:
    return ClusterEndpoint(
        role=role,
        host=Address("127.0.0.1"),
        p=Port(port) if port else NO_PORT,
        metrics_port=Port(metrics_port) if metrics_port else None,
    )


@pytest.mark.parametrize("backend", Backend)
@pytest.mark.parametrize("bare_mode", [False, True])
def test_hostile_names_and_settings_arrive_as_they_are(tmp_path: Path, backend: Backend, bare_mode: bool) -> None:
    name = 'wor"]=[\\1%sß'
    cluster = {name: endpoint(ClusterRole.WORKER), "m": endpoint(ClusterRole.MANAGER, 2200, 9000)}
    script = tmp_path / "tell.zeek"
    script.write_text(
        'module Tell; export { option it = ""; }\n'
        "event zeek_init() &priority=-100 { print Cluster::node == string_cat("
        + ", ".join(f'"\\x{byte:02x}"' for byte in name.encode())
        + "), Cluster::node in Cluster::nodes, Cluster::nodes[Cluster::node]$manager, Tell::it; terminate(); }\n"
    )
    node = NodeConfig(name=name, cluster=cluster, addl_user_scripts=(str(script), "Tell::it=a b"), bare_mode=bare_mode)
    argv, env = prepare(node, settings(backend=backend), tmp_path / "node")
    finished = subprocess.run(
        argv, env=env, cwd=tmp_path / "node", capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert finished.stdout == "T, T, m, a b\n", finished.stderr


@pytest.mark.parametrize("backend", Backend)
def test_a_cluster_comes_up_and_takes_websocket_clients(tmp_path: Path, backend: Backend) -> None:
    manager, logger, metrics, xpub, xsub, *sockets = free_ports(7)
    cluster = {
        "manager": endpoint(ClusterRole.MANAGER, manager, metrics),
        "logger": endpoint(ClusterRole.LOGGER, logger),
        "worker": endpoint(ClusterRole.WORKER),
    }
    how = settings(backend=backend, zeromq_xpub_port=xpub, zeromq_xsub_port=xsub)
    with contextlib.ExitStack() as stack:
        for name, port in (("logger", None), ("manager", sockets[0]), ("worker", sockets[1])):
            node = NodeConfig(name=name, cluster=cluster)
            stack.enter_context(running(node, msgspec.structs.replace(how, websocket_port=port), tmp_path / name))
        for name in cluster:
            until(lambda name=name: is_running(tmp_path / name), f"{name} RUNNING")  # type: ignore[misc]
        for port in sockets:
            until(lambda port=port: acknowledged(port), "a WebSocket's acknowledgement")  # type: ignore[misc]
        with socket.create_connection(("127.0.0.1", metrics), timeout=5):
            pass


def test_a_manager_alone_takes_websocket_clients_and_logs(tmp_path: Path) -> None:
    port, websocket_port, xpub, xsub = free_ports(4)
    node = NodeConfig(name="manager", cluster={"manager": endpoint(ClusterRole.MANAGER, port)})
    how = settings(websocket_port=websocket_port, zeromq_xpub_port=xpub, zeromq_xsub_port=xsub)
    with running(node, how, tmp_path / "manager") as directory:
        until(lambda: is_running(directory), "manager RUNNING")
        until(lambda: acknowledged(websocket_port), "a WebSocket's acknowledgement")
    assert list(directory.glob("*.log"))


def test_a_websocket_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        node = NodeConfig(
            name="w", cluster={"w": endpoint(ClusterRole.WORKER), "m": endpoint(ClusterRole.MANAGER, 2200)}
        )
        argv, env = prepare(node, settings(websocket_port=port, backend=Backend.BROKER), tmp_path / "node")
        finished = subprocess.run(
            argv, env=env, cwd=tmp_path / "node", capture_output=True, text=True, timeout=DEADLINE, check=False
        )
    assert finished.returncode != 0
    assert f"node w cannot listen for WebSocket clients on 127.0.0.1:{port}" in finished.stderr
