"""Real Zeeks that run as another user: live, and reading a trace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from fleet import SMALL_CLUSTER, Fleet, hub_ports, ini
from traces import write_trace
from zeek_logs import lines_of

from support.other_user import NOBODY, within_reach
from support.waiting import PATIENCE, until

pytestmark = [
    pytest.mark.zeek,
    pytest.mark.skipif(shutil.which("zeek") is None, reason="no zeek on PATH"),
    pytest.mark.skipif(within_reach() is None, reason="no other user can run our interpreter"),
]

SNIFFERS = {name for name, keys in SMALL_CLUSTER.items() if "interface" in keys}
FOR_TRAFFIC = 1 << 12 | 1 << 13


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory where other users come."""
    with tempfile.TemporaryDirectory(prefix="zeekfleet-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def capabilities_of(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff"))


@pytest.mark.parametrize("backend", ["zeromq", "broker"])
def test_a_cluster_of_another_user(place: Path, backend: str) -> None:
    fleet = Fleet(place)
    options = {"engine": "zeek", "backend": backend, "rotation_interval": 2, "log_dir": place / "logs"}
    try:
        fleet.start_up(before=within_reach() or (), node_user=NOBODY, **options, **hub_ports(backend))
        secret = place / "secret.zeek"
        secret.write_text("")
        secret.chmod(0o600)
        unreadable = {**SMALL_CLUSTER, "proxy": {**SMALL_CLUSTER["proxy"], "scripts": str(secret)}}
        refused = fleet.client("deploy-config", "-", text=ini(["here"], unreadable))
        assert refused.code == 1
        assert str(secret) in refused.out + refused.err
        fleet.deploy(ini(["here"], SMALL_CLUSTER))
        # By the agent's WebSocket and, to loggers, by files in their directories.
        answer = fleet.client("get-id-value", "Cluster::node")
        assert (answer.results, answer.errors) == ({name: name for name in SMALL_CLUSTER}, [])
        for name, pid in fleet.pids().items():
            assert psutil.Process(pid).uids().effective == NOBODY
            assert capabilities_of(pid) == (FOR_TRAFFIC if name in SNIFFERS else 0), name
        assert fleet.client("restart").code == 0
        fleet.wait_for_states("RUNNING", *SMALL_CLUSTER)
        archived = until(lambda: [*(place / "logs").rglob("*.gz")], "rotated logs in the archive")
        assert {path.stat().st_uid for path in archived} == {os.geteuid()}
    finally:
        fleet.stop()


def test_a_trace_is_read_by_another_user(place: Path) -> None:
    trace = place / "trace.pcap"
    write_trace(trace, 20)
    command = [*(within_reach() or ()), sys.executable, "-m", "zeekfleet", "up", "--pcap", str(trace)]
    environment = {**os.environ, "TMPDIR": str(place)}
    for mode, code in ((0o600, 1), (0o644, 0)):
        trace.chmod(mode)
        done = subprocess.run(
            [*command, "--node-user", str(NOBODY)],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == code, done.stderr
    assert lines_of(place / "logs" / "conn.log").total() == 20
    assert {path.stat().st_uid for path in (place / "logs").iterdir()} == {os.geteuid()}
    assert sorted(path.name for path in place.iterdir()) == ["logs", "trace.pcap"]
