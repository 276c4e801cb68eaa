"""A whole tree of root whose nodes run as another user."""

from __future__ import annotations

import os
import signal
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from fleet import SMALL_CLUSTER, Fleet, ini
from users import act_as

from support.daemons import wait_for_end_of
from support.other_user import NOBODY, within_reach
from support.waiting import until

STRANGER = NOBODY - 1
GROUP = NOBODY

pytestmark = pytest.mark.skipif(within_reach() is None, reason="no other user can run our interpreter")


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """A tree with running nodes, in a place where other users come."""
    with tempfile.TemporaryDirectory(prefix="zeekfleet-") as directory:
        Path(directory).chmod(0o755)
        fleet = Fleet(Path(directory))
        try:
            fleet.start_up(before=within_reach() or (), node_user=NOBODY, node_group=GROUP)
            fleet.wait_for_instances("here")
            fleet.deploy(ini(["here"], SMALL_CLUSTER))
            yield fleet
        finally:
            fleet.stop()


@pytest.fixture(autouse=True)
def _all_run(fleet: Fleet) -> None:
    fleet.wait_for_states("RUNNING", *SMALL_CLUSTER)


def state(fleet: Fleet) -> Path:
    return fleet.root / "up"


def users_of(fleet: Fleet) -> dict[str, int]:
    """By name, whom each process of the tree belongs to."""
    return {name: psutil.Process(entry["pid"]).uids().effective for name, entry in fleet.nodes().items()}


def stem_of(fleet: Fleet) -> int:
    return psutil.Process(fleet.pids()["manager"]).ppid()


def test_nodes_are_the_user_and_daemons_are_root(fleet: Fleet) -> None:
    assert users_of(fleet) == {"here": 0, "controller": 0, **dict.fromkeys(SMALL_CLUSTER, NOBODY)}
    assert fleet.client("get-id-value", "Cluster::node").results == {name: name for name in SMALL_CLUSTER}


def test_nobody_else_can_use_a_file(fleet: Fleet) -> None:
    owned = {state(fleet) / "nodes" / name for name in SMALL_CLUSTER} | {fleet.root / "up-spool" / "log-queue"}
    passable = {state(fleet), state(fleet) / "nodes", state(fleet) / "nodes" / "here", fleet.root / "up-spool"}
    for path in (*state(fleet).rglob("*"), *(fleet.root / "up-spool").rglob("*"), *passable):
        found = path.lstat()
        mode = stat.S_IMODE(found.st_mode)
        is_nodes = bool(owned & {path, path.parent}) and path.name != ".zeekfleet-archiver.lock"
        assert found.st_uid == (NOBODY if is_nodes else 0), path
        if path in passable:
            assert (mode, found.st_gid) == (0o710, GROUP), path
        elif path.name == "agent.sock":
            assert (mode, found.st_gid) == (0o660, GROUP), path
        else:
            assert mode == (0o700 if path.is_dir() else 0o600), path


def test_a_node_can_connect_to_its_agent_only(fleet: Fleet) -> None:
    def connected(place: Path) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(place))
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return connection.recv(12).decode()

    sockets = set(state(fleet).rglob("*.sock"))
    agents = state(fleet) / "nodes" / "here" / "agent.sock"
    assert {path.name for path in sockets} == {"agent.sock", "journal.sock", "stem.sock", "supervisor.sock"}
    assert act_as(NOBODY, lambda: connected(agents)) == "HTTP/1.1 404"
    for place in sockets - {agents}:
        with pytest.raises(PermissionError):
            act_as(NOBODY, lambda place=place: connected(place))
    with pytest.raises(PermissionError):
        act_as(STRANGER, lambda: connected(agents))

    def refused() -> str:
        with socket.create_connection(("127.0.0.1", fleet.client_port)) as connection:
            return connection.recv(12).decode()

    assert act_as(NOBODY, refused) == "HTTP/1.1 403"


def test_nodes_outlive_stem_and_agent(fleet: Fleet) -> None:
    before = fleet.pids()
    stem = stem_of(fleet)
    os.kill(stem, signal.SIGKILL)
    assert wait_for_end_of(stem)
    agent = fleet.nodes()["here"]["pid"]
    os.kill(agent, signal.SIGKILL)
    assert wait_for_end_of(agent)
    fleet.wait_for_instances("here")
    fleet.wait_for_states("RUNNING", *SMALL_CLUSTER)
    assert fleet.pids() == before
    os.kill(before["worker-1"], signal.SIGKILL)
    until(lambda: fleet.pids()["worker-1"] != before["worker-1"], "a new worker-1")
    fleet.wait_for_states("RUNNING", "worker-1")
    assert users_of(fleet)["worker-1"] == NOBODY
    assert fleet.client("restart", "worker-2").code == 0
    assert users_of(fleet)["worker-2"] == NOBODY
    assert {name: pid for name, pid in fleet.pids().items() if name not in ("worker-1", "worker-2")} == {
        name: pid for name, pid in before.items() if name not in ("worker-1", "worker-2")
    }


def test_a_departed_node_keeps_its_directory(fleet: Fleet) -> None:
    """The agent notes in the node's own directory since when it is gone, and does not follow what lies there."""
    target = fleet.root / "precious"
    target.write_text("content")
    marker = state(fleet) / "nodes" / "worker-2" / ".gone-since"

    def lay() -> str:
        marker.symlink_to(target)
        return "done"

    assert act_as(NOBODY, lay) == "done"
    fleet.deploy(ini(["here"], {name: keys for name, keys in SMALL_CLUSTER.items() if name != "worker-2"}))
    until(lambda: marker.exists() and not marker.is_symlink(), "the mark of a node that is gone")
    assert marker.lstat().st_uid == NOBODY
    assert target.read_text() == "content"
    fleet.deploy(ini(["here"], SMALL_CLUSTER))
