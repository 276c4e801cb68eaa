"""Offline clusters of real Zeeks: a trace, and an end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fleet import Fleet, ini, node
from processes import processes_of
from traces import write_trace
from zeek_logs import differences, lines_of, logs_in

from support.waiting import PATIENCE, until

pytestmark = [pytest.mark.zeek, pytest.mark.skipif(shutil.which("zeek") is None, reason="no zeek on PATH")]

CONVERSATIONS = 1500


def up(*words: str, directory: Path) -> subprocess.CompletedProcess[str]:
    # Whatever it keeps for the time being is in our directory, to see that nothing is left.
    environment = {**os.environ, "TMPDIR": str(directory)}
    command = [sys.executable, "-m", "zeekfleet", "up", *words]
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


@pytest.mark.parametrize("backend", ["zeromq", "broker"])
def test_a_cluster_sees_in_a_trace_what_a_lone_zeek_sees(backend: str, tmp_path: Path) -> None:
    trace, alone, together = tmp_path / "trace.pcap", tmp_path / "alone", tmp_path / "together"
    write_trace(trace, CONVERSATIONS)
    alone.mkdir()
    together.mkdir()
    subprocess.run(["zeek", "-r", trace, "local"], cwd=alone, timeout=PATIENCE, check=True)
    done = up("--pcap", str(trace), "--backend", backend, directory=together)
    assert done.returncode == 0, done.stderr
    expected = lines_of(alone / "conn.log")
    assert expected.total() == CONVERSATIONS
    assert lines_of(together / "logs" / "conn.log") == expected
    assert [path.name for path in together.iterdir()] == ["logs"]
    assert not processes_of(together)


@pytest.mark.parametrize("backend", ["zeromq", "broker"])
def test_a_cluster_writes_every_log_that_a_lone_zeek_writes(backend: str, tmp_path: Path) -> None:
    trace, alone, together = tmp_path / "trace.pcap", tmp_path / "alone", tmp_path / "together"
    write_trace(trace, 40, server="10.200.0.80")
    alone.mkdir()
    together.mkdir()
    subprocess.run(["zeek", "-r", trace, "local"], cwd=alone, timeout=PATIENCE, check=True)
    done = up("--pcap", str(trace), "--backend", backend, directory=together)
    assert done.returncode == 0, done.stderr
    assert "incomplete" not in done.stderr
    expected, found = logs_in(alone), logs_in(together / "logs")
    assert {"conn", "http", "known_hosts", "known_services", "software"} <= expected.keys()
    assert not differences(expected, found)


def test_several_at_once_on_one_host_do_not_meet(tmp_path: Path) -> None:
    trace = tmp_path / "trace.pcap"
    write_trace(trace, 50)
    places = [tmp_path / name for name in "abc"]
    for place in places:
        place.mkdir()
    with ThreadPoolExecutor(len(places)) as threads:
        done = list(threads.map(lambda place: up("--pcap", str(trace), directory=place), places))
    assert [one.returncode for one in done] == [0] * len(places), done
    assert [lines_of(place / "logs" / "conn.log").total() for place in places] == [50] * len(places)


@pytest.mark.parametrize(("words", "reason"), [((), "cannot be read"), (("--engine", "sim"), "simulated")])
def test_what_cannot_be_read_is_told(words: tuple[str, ...], reason: str, tmp_path: Path) -> None:
    if words:
        write_trace(tmp_path / "trace.pcap", 1)
    done = up("--pcap", "trace.pcap", *words, directory=tmp_path)
    assert done.returncode == 1
    assert reason in done.stderr
    assert not (tmp_path / "logs").exists()


def test_a_file_that_is_no_trace_ends_it_with_zeeks_own_words(tmp_path: Path) -> None:
    (tmp_path / "trace.pcap").write_text("no trace at all")
    done = up("--pcap", "trace.pcap", directory=tmp_path)
    assert done.returncode == 1, done
    assert "trace.pcap" in done.stderr.splitlines()[-1] or "problem with trace file" in done.stderr
    assert not processes_of(tmp_path)


def test_a_worker_of_a_configuration_reads_a_trace(new_fleet: Callable[[], Fleet], tmp_path: Path) -> None:
    fleet = new_fleet()
    trace = tmp_path / "trace.pcap"
    write_trace(trace, 20)
    nodes = {"manager": node("here", "manager"), "worker": node("here", "worker", pcap_file=trace)}
    fleet.start_up(engine="zeek")
    file = tmp_path / "cluster.ini"
    file.write_text(ini(["here"], nodes))
    command = [sys.executable, "-m", "zeekfleet", "--controller", f"127.0.0.1:{fleet.client_port}"]
    done = subprocess.run([*command, "deploy-config", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    until(
        lambda: fleet.client("get-id-value", "Zeekfleet::trace_read", "worker").results == {"worker": str(trace)},
        "the trace is read",
    )
    os.kill(fleet.pids()["worker"], signal.SIGTERM)
    log = fleet.root / "up" / "nodes" / "manager" / "conn.log"
    until(lambda: log.exists() and log.read_text().count("192.0.2.80") == 20, "the manager has the conversations")
