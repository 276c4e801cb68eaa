"""Traces by a lone Zeek and by a cluster: the logs are the same, whatever is in the trace and whoever is slow.

``ZEEKFLEET_TEST_TRACES`` names a directory with traces, such as those of Zeek's own tests.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from processes import Lines, processes_of
from traces import write_trace
from zeek_logs import differences, logs_in

from support.waiting import until

pytestmark = [
    pytest.mark.zeek,
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("zeek") is None, reason="no zeek on PATH"),
]

BACKENDS = ("zeromq", "broker")
TIMEOUT = 900.0
CONVERSATIONS = 12_000
"""So many that an unread one of each is more than any queue of Zeek's holds by default."""

BEGUN = 256 * 1024
"""Bytes of the trace that nobody reads ahead."""

SUFFIXES = (".pcap", ".pcapng", ".trace")


def traces() -> list[Path]:
    directory = os.environ.get("ZEEKFLEET_TEST_TRACES")
    return sorted(file for file in Path(directory).rglob("*") if file.suffix in SUFFIXES) if directory else []


def alone(trace: Path, directory: Path) -> bool:
    """Whether a lone Zeek takes it for a trace."""
    directory.mkdir()
    command = ["zeek", "-r", trace, "local"]
    return subprocess.run(command, cwd=directory, timeout=TIMEOUT, capture_output=True, check=False).returncode == 0


@contextmanager
def cluster(trace: Path, backend: str, directory: Path) -> Iterator[subprocess.Popen[str]]:
    """One that reads the trace; it is stopped at the end if it still runs."""
    directory.mkdir()
    run = subprocess.Popen(
        [sys.executable, "-m", "zeekfleet", "up", "--pcap", trace, "--backend", backend],
        cwd=directory,
        env={**os.environ, "TMPDIR": str(directory)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield run
    finally:
        if run.poll() is None:
            run.terminate()
            run.wait(TIMEOUT)


@pytest.mark.skipif(not traces(), reason="ZEEKFLEET_TEST_TRACES names no directory with traces")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("trace", traces(), ids=str)
def test_a_trace_of_the_directory(trace: Path, backend: str, tmp_path: Path) -> None:
    if not alone(trace, tmp_path / "alone"):
        pytest.skip("a lone Zeek does not read it")
    with cluster(trace, backend, tmp_path / "together") as run:
        _, errors = run.communicate(timeout=TIMEOUT)
    assert run.returncode == 0, errors
    assert not differences(logs_in(tmp_path / "alone"), logs_in(tmp_path / "together" / "logs"))


def pid_of(name: str, directory: Path) -> int:
    return next(
        pid
        for pid in processes_of(directory)
        if f"CLUSTER_NODE={name}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    )


def position(pid: int, file: Path) -> int:
    """Where in the file the process is; 0 if it has not opened it."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            if link.readlink() == file:
                return int(Path(f"/proc/{pid}/fdinfo/{link.name}").read_text().split()[1])
    return 0


def wait_for_line(file: Path, text: str) -> None:
    with subprocess.Popen(["tail", "-n", "+1", "-F", file], stdout=subprocess.PIPE, text=True) as tail:
        try:
            assert Lines(tail.stdout).wait_for(text, timeout=TIMEOUT)
        finally:
            tail.kill()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("slow", ["proxy", "logger"])
def test_a_node_that_has_done_nothing_before_the_trace_was_read(slow: str, backend: str, tmp_path: Path) -> None:
    trace, together = tmp_path / "trace.pcap", tmp_path / "together"
    write_trace(trace, CONVERSATIONS, server="10.200.0.80")
    assert alone(trace, tmp_path / "alone")
    with cluster(trace, backend, together) as run:
        log = Lines(run.stderr)
        assert log.wait_for(" reading "), log
        # Not before: it begins when all others are there.
        until(lambda: position(pid_of("worker", together), trace) > BEGUN, "the worker reads")
        pid = pid_of(slow, together)
        os.kill(pid, signal.SIGSTOP)
        try:
            (management_log,) = together.rglob("management-worker.log")
            wait_for_line(management_log, " is read")
        finally:
            os.kill(pid, signal.SIGCONT)
        assert run.wait(TIMEOUT) == 0, log
    assert not differences(logs_in(tmp_path / "alone"), logs_in(together / "logs"))
