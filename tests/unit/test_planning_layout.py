"""Launching a real Zeek: files, command line and environment against golden files."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import NO_PORT, Address, Port
from zeekfleet.planning.layout import (
    LAUNCH_FILE,
    LAYOUT_FILE,
    Backend,
    ZeekSettings,
    cluster_layout,
    command_line,
    environment,
    files,
    launch_script,
    may_open_websocket,
)
from zeekfleet.planning.mailbox import needs_mailbox
from zeekfleet.planning.zeek_text import zeek_string

GOLDEN = Path(__file__).parent / "golden"
SETTINGS = ZeekSettings(
    program="/opt/zeek/bin/zeek",
    zeekpath=".:/opt/zeek/share/zeek",
    management_script="/usr/lib/zeekfleet/management",
    websocket_port=7700,
)
ROTATING = msgspec.structs.replace(
    SETTINGS, websocket_port=None, log_queue="/var/spool/zeekfleet/log-queue", rotation_interval=900.0
)


def endpoint(
    role: ClusterRole, host: str = "127.0.0.1", port: int | None = None, metrics_port: int | None = None
) -> ClusterEndpoint:
    return ClusterEndpoint(
        role=role,
        host=Address(host),
        p=NO_PORT if port is None else Port(port),
        metrics_port=None if metrics_port is None else Port(metrics_port),
    )


CLUSTER = {
    "worker-02": endpoint(ClusterRole.WORKER, "10.0.0.2", metrics_port=9001),
    "manager": endpoint(ClusterRole.MANAGER, "10.0.0.1", 2200, 9000),
    "worker-01": endpoint(ClusterRole.WORKER),
    "logger": endpoint(ClusterRole.LOGGER, "10.0.0.1", 2201),
    "proxy": endpoint(ClusterRole.PROXY, "10.0.0.1", 2202),
}
TRACE = ClusterEndpoint(ClusterRole.WORKER, Address("127.0.0.1"), NO_PORT, pcap_file="/t.pcap")
WITHOUT_LOGGER = {name: row for name, row in CLUSTER.items() if name != "logger"}
HOSTILE = {
    'm"]=[$x\\1': endpoint(ClusterRole.MANAGER, "fd00::1", 2200, 9000),
    "größe%s": endpoint(ClusterRole.WORKER, "fd00::2"),
}


def golden(name: str) -> str:
    return (GOLDEN / name).read_text()


def config(name: str = "worker-01", cluster: dict[str, ClusterEndpoint] = CLUSTER, **fields: object) -> NodeConfig:
    return NodeConfig(name=name, cluster=cluster, **fields)  # type: ignore[arg-type]


def argv(node: NodeConfig, settings: ZeekSettings = SETTINGS, *, bare_mode: bool = False) -> tuple[str, ...]:
    return command_line(node, settings, directory="/d", bare_mode=bare_mode)


@pytest.mark.parametrize(
    ("name", "cluster"),
    [
        ("layout", CLUSTER),
        ("layout-without-logger", WITHOUT_LOGGER),
        ("layout-hostile", HOSTILE),
        ("layout-without-manager", {"w": endpoint(ClusterRole.WORKER)}),
    ],
)
def test_cluster_layout(name: str, cluster: dict[str, ClusterEndpoint]) -> None:
    assert cluster_layout(config(cluster=cluster)) == golden(f"{name}.zeek")


def test_the_layout_does_not_depend_on_the_order_of_the_table() -> None:
    assert cluster_layout(config(cluster=dict(reversed(CLUSTER.items())))) == cluster_layout(config())


@pytest.mark.parametrize(
    ("name", "node", "settings"),
    [
        ("launch-rotation-logger", config("logger"), ROTATING),
        ("launch-rotation-worker", config(), ROTATING),
        (
            "launch-rotation-manager",
            config("manager", WITHOUT_LOGGER),
            msgspec.structs.replace(ROTATING, log_queue='/srv/"spool"/log-queue', rotation_interval=0.0),
        ),
        ("launch-worker-zeromq", config(), SETTINGS),
        ("launch-worker-broker", config(), msgspec.structs.replace(SETTINGS, backend=Backend.BROKER)),
        ("launch-logger", config("logger"), SETTINGS),
        ("launch-manager-as-logger", config("manager", WITHOUT_LOGGER), SETTINGS),
        ("launch-manager-alone", config("manager", {"manager": CLUSTER["manager"]}), SETTINGS),
        (
            "launch-hostile",
            config('m"]=[$x\\1', HOSTILE),
            msgspec.structs.replace(
                SETTINGS,
                backend=Backend.BROKER,
                websocket_address=Address("::1"),
            ),
        ),
        (
            "launch-one-host",
            config("manager", {name: row for name, row in CLUSTER.items() if row.host == "10.0.0.1"}),
            SETTINGS,
        ),
        ("launch-trace", config("worker-01", {**CLUSTER, "worker-01": TRACE}), SETTINGS),
        ("launch-trace-logger", config("logger", {**CLUSTER, "worker-01": TRACE}), SETTINGS),
        (
            "launch-trace-broker",
            config("worker-01", {**CLUSTER, "worker-01": TRACE}),
            msgspec.structs.replace(SETTINGS, backend=Backend.BROKER),
        ),
        (
            "launch-other-ports",
            config("größe%s", HOSTILE),
            msgspec.structs.replace(SETTINGS, zeromq_xpub_port=6555, zeromq_xsub_port=6556, websocket_port=None),
        ),
    ],
)
def test_launch_script(name: str, node: NodeConfig, settings: ZeekSettings) -> None:
    assert launch_script(node, settings) == golden(f"{name}.zeek")


@pytest.mark.parametrize("backend", Backend)
def test_no_logger_ever_opens_a_websocket(backend: Backend) -> None:
    settings = msgspec.structs.replace(SETTINGS, backend=backend)
    assert not may_open_websocket(config("logger"), backend)
    assert "listen_websocket" not in launch_script(config("logger"), settings)


def test_nodes_that_may_open_a_websocket() -> None:
    assert may_open_websocket(config("worker-01"), Backend.ZEROMQ)
    assert may_open_websocket(config("proxy"), Backend.ZEROMQ)
    assert may_open_websocket(config("manager"), Backend.ZEROMQ)
    assert not may_open_websocket(config("manager", WITHOUT_LOGGER), Backend.ZEROMQ)
    assert may_open_websocket(config("manager", WITHOUT_LOGGER), Backend.BROKER)
    assert may_open_websocket(config("manager", {"manager": CLUSTER["manager"]}), Backend.ZEROMQ)
    assert not may_open_websocket(config("stranger"), Backend.BROKER)


def test_nodes_with_a_mailbox() -> None:
    """Nodes that the agent's one WebSocket may not reach. With Broker only the manager is connected to all."""
    for backend, expected in ((Backend.ZEROMQ, {"logger"}), (Backend.BROKER, CLUSTER.keys() - {"manager"})):
        assert {name for name in CLUSTER if needs_mailbox(config(name), backend)} == expected
        assert not needs_mailbox(config("stranger"), backend)
    assert needs_mailbox(config("manager", WITHOUT_LOGGER), Backend.ZEROMQ)
    assert not needs_mailbox(config("manager", WITHOUT_LOGGER), Backend.BROKER)


def test_files_only_within_a_cluster() -> None:
    node = config()
    assert files(node, SETTINGS) == {
        LAYOUT_FILE: cluster_layout(node),
        LAUNCH_FILE: launch_script(node, SETTINGS),
    }
    assert files(NodeConfig(name="alone"), SETTINGS) == {}


def test_command_line_of_a_worker_with_everything() -> None:
    node = config(
        interface="eth0; rm -rf /",
        bare_mode=True,
        addl_base_scripts=("base1", "base2"),
        addl_user_scripts=("mine.zeek", "Notice::mail_dest=x@y", "-e"),
    )
    assert argv(node) == (
        "/opt/zeek/bin/zeek",
        "-b",
        "-i",
        "eth0; rm -rf /",
        "-U",
        ".status",
        "frameworks/cluster/backend/zeromq",
        "/d/zeekfleet-launch.zeek",
        "base1",
        "base2",
        "local",
        "/usr/lib/zeekfleet/management",
        "mine.zeek",
        "Notice::mail_dest=x@y",
        "./-e",
    )


def test_command_line_of_a_node_on_its_own() -> None:
    node = NodeConfig(name="alone", pcap_file="/tmp/x.pcap", addl_user_scripts=("mine",))
    assert argv(node) == ("/opt/zeek/bin/zeek", "-r", "/tmp/x.pcap", "-U", ".status", "local", "mine")


def test_bare_mode_is_the_nodes_own_or_else_the_given() -> None:
    assert "-b" in argv(config(), bare_mode=True)
    assert "-b" not in argv(config())
    assert "-b" not in argv(config(bare_mode=False), bare_mode=True)


def test_back_end_and_management_are_settings() -> None:
    settings = msgspec.structs.replace(SETTINGS, backend=Backend.BROKER, management_script=None, user_scripts=())
    assert argv(config(), settings)[-2:] == ("frameworks/cluster/backend/broker", "/d/zeekfleet-launch.zeek")


def test_environment() -> None:
    base = {"PATH": "/bin", "HOME": "/root", "CLUSTER_NODE": "stale", "ZEEKPATH": "/other"}
    node = config(env={"HOME": "/home/zeek", "X": "1", "CLUSTER_NODE": "forged"})
    assert environment(node, SETTINGS, directory="/d", base=base) == {
        "PATH": "/bin",
        "HOME": "/home/zeek",
        "X": "1",
        "CLUSTER_NODE": "worker-01",
        "ZEEKPATH": "/d:/opt/zeek/share/zeek",
        "ZEEK_DISABLE_ZEEKYGEN": "1",
    }


def test_environment_outside_a_cluster_and_with_an_own_script_path() -> None:
    node = NodeConfig(name="alone", env={"ZEEKPATH": "/mine"})
    found = environment(node, SETTINGS, directory="/d", base={"CLUSTER_NODE": "stale"})
    assert found == {"ZEEKPATH": "/d:/mine", "ZEEK_DISABLE_ZEEKYGEN": "1"}


@pytest.mark.parametrize(("base", "own"), [({"ZEEK_DISABLE_ZEEKYGEN": ""}, {}), ({}, {"ZEEK_DISABLE_ZEEKYGEN": ""})])
def test_collecting_script_comments_can_be_switched_on(base: dict[str, str], own: dict[str, str]) -> None:
    assert "ZEEK_DISABLE_ZEEKYGEN" not in environment(config(env=own), SETTINGS, directory="/d", base=base)


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("plain name", '"plain name"'),
        ('a"b', r'"a\042b"'),
        ("a\\n", r'"a\134n"'),
        ("a\n1\0", r'"a\0121\000"'),
        ("ü", r'"\303\274"'),
        ("%s", '"%s"'),
    ],
)
def test_zeek_string(text: str, literal: str) -> None:
    assert zeek_string(text) == literal
