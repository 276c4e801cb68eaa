"""Which nodes a real Zeek considers connected: ``zeekfleet-peers.zeek``, with the back ends' events in any order."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import pytest

from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import NO_PORT, Address, Port
from zeekfleet.model.variables import MAILBOX
from zeekfleet.node.zeek.installation import examine
from zeekfleet.planning.layout import LAYOUT_FILE, Backend, cluster_layout
from zeekfleet.planning.mailbox import ANSWER_SUFFIX, MAILBOX_DIRECTORY, REQUESTS_FILE

pytestmark = [pytest.mark.zeek, pytest.mark.skipif(shutil.which("zeek") is None, reason="no zeek on PATH")]

LOOPBACK = Address("127.0.0.1")
CLUSTER = {
    "manager": ClusterEndpoint(ClusterRole.MANAGER, LOOPBACK, Port(2200)),
    "logger": ClusterEndpoint(ClusterRole.LOGGER, LOOPBACK, Port(2201)),
    "proxy": ClusterEndpoint(ClusterRole.PROXY, LOOPBACK, Port(2202)),
    "worker": ClusterEndpoint(ClusterRole.WORKER, LOOPBACK, NO_PORT),
}

SCRIPT = """
global show: event();
event show() { print fmt("missing: %s", join_string_vec(Zeekfleet::missing_peers(), " ")); }
event Cluster::node_up(name: string, id: string) { print fmt("up: %s %s", name, id); }
event done() { terminate(); }
event begin()
    {
    EVENTS
    event done();
    }
# Not at once: errors that Zeek tells of while it starts keep it from starting.
event zeek_init() { schedule 1msec { begin() }; }
"""

HELLOS = (
    'Cluster::hello("manager", "m1")',
    'Cluster::hello("logger", "l1")',
    'Cluster::hello("proxy", "p1")',
    "show()",
)
ALL_UP = ["up: manager m1", "up: logger l1", "up: proxy p1", "missing: "]


def run(backend: Backend, tmp_path: Path, events: Sequence[str], part: str = "peers", **environment: str) -> list[str]:
    """What the worker prints when these events come one after the other, in its own order.

    Args:
        part: which of our scripts it loads.
    """
    (tmp_path / LAYOUT_FILE).write_text(cluster_layout(NodeConfig(name="worker", cluster=CLUSTER)))
    script = tmp_path / "events.zeek"
    script.write_text(SCRIPT.replace("EVENTS", "\n    ".join(f"event {event};" for event in events)))
    zeek = examine("zeek")
    ours = resources.files("zeekfleet.node") / "scripts" / f"zeekfleet-{part}.zeek"
    done = subprocess.run(
        [zeek.program, f"frameworks/cluster/backend/{backend.value}", str(ours), str(script)],
        env={
            "PATH": os.environ["PATH"],
            "CLUSTER_NODE": "worker",
            "ZEEKPATH": f"{tmp_path}:{zeek.zeekpath}",
            "ZEEKCTL_DISABLE_LISTEN": "1",  # this Zeek has no connections
            **environment,
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


BOTH = pytest.mark.parametrize("backend", list(Backend), ids=lambda backend: backend.value)


@BOTH
def test_a_node_is_missing_until_it_says_hello_and_when_it_is_gone(backend: Backend, tmp_path: Path) -> None:
    events = ("show()", *HELLOS, 'Cluster::node_down("proxy", "p1")', "show()", 'Cluster::hello("proxy", "p2")')
    told = run(backend, tmp_path, (*events, "show()"))
    expected = ["missing: logger manager proxy", *ALL_UP, "missing: proxy", "up: proxy p2", "missing: "]
    assert sorted(told) == sorted(expected)
    assert [line for line in told if "missing" in line] == [line for line in expected if "missing" in line]


@BOTH
def test_a_restarted_node_whose_hello_overtakes_its_end_is_connected(backend: Backend, tmp_path: Path) -> None:
    events = (*HELLOS, 'Cluster::hello("manager", "m2")', 'Cluster::node_down("manager", "m1")', "show()")
    # Zeek itself does not raise node_up for such a node, so no pool would include it.
    assert sorted(run(backend, tmp_path, events)) == sorted([*ALL_UP, "missing: ", "up: manager m2"])


def test_connections_to_the_hub_and_the_loggers_count(tmp_path: Path) -> None:
    lost, tried, connected = 0x0200, 0x0004, 0x0001

    def happened(number: int, port: int) -> str:
        return f'Cluster::Backend::ZeroMQ::monitoring_event({number}, 0, "tcp://127.0.0.1:{port}")'

    events: list[str] = list(HELLOS)
    for number, port in ((lost, 2201), (tried, 5555), (lost, 5556), (connected, 2201), (connected, 5555)):
        events += [happened(number, port), "show()"]
    told = run(Backend.ZEROMQ, tmp_path, [*events, happened(connected, 5556), "show()"])
    assert [line.removeprefix("missing: ") for line in told if line.startswith("missing")] == [
        "",
        "logger",
        "logger manager",
        "logger manager",
        "manager",
        "manager",
        "",
    ]


def test_missing_peers_reach_the_mailbox_before_the_hello(tmp_path: Path) -> None:
    mailbox = tmp_path / MAILBOX_DIRECTORY
    mailbox.mkdir()
    (mailbox / REQUESTS_FILE).touch()
    run(Backend.ZEROMQ, tmp_path, (), "mailbox", **{MAILBOX: str(mailbox)})
    mail = sorted(mailbox.glob(f"*{ANSWER_SUFFIX}"), key=lambda path: int(path.stem.rpartition("-")[2]))
    assert [json.loads(path.read_bytes()) for path in mail] == [
        {"missing": ["logger", "manager", "proxy"]},
        {"hello": "worker"},
    ]
