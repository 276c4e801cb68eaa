"""How an out-of-memory kill is recognized: by the kernel's log, by control groups' counts, and by the end itself."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from zeekfleet.model.management import NodeOutputs
from zeekfleet.supervisor import kernel_log, memory_kills
from zeekfleet.supervisor.kernel_log import time_of, victim_of
from zeekfleet.supervisor.memory_kills import MemoryKills
from zeekfleet.supervisor.records import NodeExit
from zeekfleet.system import cgroup_paths, process_end

CHOSEN = (
    b"6,1214,12263508287,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"
    b"oom_memcg=/x,task_memcg=/x,task=python3,pid=4497,uid=0\n"
)
KILLED = (
    b"3,1215,12263508303,-,caller=T4497;Memory cgroup out of memory: Killed process 4497 (python3) "
    b"total-vm:536700kB, anon-rss:35456kB, file-rss:5784kB, shmem-rss:0kB, UID:0 pgtables:140kB oom_score_adj:0\n"
)


# --- the kernel's log


@pytest.mark.parametrize(
    ("record", "victim"),
    [
        (CHOSEN, 4497),
        (KILLED, 4497),
        (b"3,1,2,-;Out of memory: Killed process 12 (zeek) total-vm:1kB\n", 12),
        (b"3,1,2,-;Out of memory (oom_kill_allocating_task): Killed process 12 (zeek) total-vm:1kB\n", 12),
        (b"3,1,2,-;Killed process 12 (zeek) total-vm:1kB\n SUBSYSTEM=x\n", 12),
        (b"4,1,2,-;zeek invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n", None),
        # Written by a process, not by the kernel.
        (b"11,1,2,-;Out of memory: Killed process 12 (zeek) total-vm:1kB\n", None),
        # Names that pretend to be something else.
        (b"6,1,2,-;oom-kill:constraint=CONSTRAINT_NONE,task_memcg=/,task=x,pid=5,uid=0,pid=4497,uid=1000\n", 4497),
        (b"6,1,2,-;oom-kill:task_memcg=/: Killed process 5 (x,task=x,pid=6,uid=0\n", 6),
        (b"6,1,2,-;usb 1-1: Product: a, Killed process 5 (x)\n", None),
        (b"6,1,2,-;continued\n Out of memory: Killed process 12 (zeek)\n", None),
        (b"garbage", None),
        (b"", None),
    ],
)
def test_victims_in_the_kernels_log(record: bytes, victim: int | None) -> None:
    assert victim_of(record) == victim


def test_times_in_the_kernels_log() -> None:
    assert time_of(KILLED) == pytest.approx(12263.508303)
    assert time_of(b"garbage") == 0


class Log:
    """Replaces the kernel's log: gives these records, then nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *records: bytes | None) -> None:
        self._rest = [*records, None]
        monkeypatch.setattr(kernel_log, "_next", lambda _: self._rest.pop(0))
        monkeypatch.setattr(kernel_log.os, "open", lambda *_: 99)
        monkeypatch.setattr(kernel_log.os, "close", lambda _: None)


def killed_at(seconds: float) -> bytes:
    return b"3,1,%d,-;Out of memory: Killed process 12 (zeek) total-vm:1kB\n" % (seconds * 1e6)


def test_a_former_process_with_the_same_id_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_log, "_FIRST_NAMES", str(Path("/proc/self/ns/pid").readlink()))
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    asleep = now - time.clock_gettime(time.CLOCK_MONOTONIC)
    tolerance = kernel_log._SLACK + now * kernel_log._DRIFT
    Log(monkeypatch, killed_at(now - asleep))
    assert kernel_log.killed_for_memory(12, now - 5) is True
    Log(monkeypatch, killed_at(now - asleep - tolerance / 2))  # its clock is slow
    assert kernel_log.killed_for_memory(12, now) is True
    Log(monkeypatch, killed_at(max(0, now - asleep - 2 * tolerance)))
    assert kernel_log.killed_for_memory(12, now) is False
    Log(monkeypatch, killed_at(now - asleep))
    assert kernel_log.killed_for_memory(13, now - 5) is False


def test_in_a_pid_namespace_the_kernels_log_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_log, "_FIRST_NAMES", "pid:[1]")
    assert kernel_log.killed_for_memory(12, 0) is None


# --- control groups

HYBRID_MOUNTS = b"""\
30 24 0:26 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate
33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:12 - cgroup cgroup rw,cpu,cpuacct
34 30 0:30 / /sys/fs/cgroup/memory rw shared:13 - cgroup cgroup rw,memory
"""
HYBRID_GROUPS = b"4:memory:/a/b\n3:cpu,cpuacct:/\n1:name=systemd:/\n0::/user.slice/x:y\n"


def directory(mounts: bytes, groups: bytes, controller: str = "") -> str | None:
    place = cgroup_paths.place_in(mounts, groups, controller)
    return None if place is None else str(place.directory)


def test_groups_of_both_versions_side_by_side() -> None:
    assert directory(HYBRID_MOUNTS, HYBRID_GROUPS) == "/sys/fs/cgroup/unified/user.slice/x:y"
    assert directory(HYBRID_MOUNTS, HYBRID_GROUPS, "memory") == "/sys/fs/cgroup/memory/a/b"
    assert directory(HYBRID_MOUNTS, HYBRID_GROUPS, "cpuacct") == "/sys/fs/cgroup/cpu,cpuacct"
    assert directory(HYBRID_MOUNTS, HYBRID_GROUPS, "pids") is None


@pytest.mark.parametrize(
    ("root", "group", "expected"),
    [
        (b"/", b"/", "/cg"),
        (b"/", b"/a", "/cg/a"),
        (b"/docker/1", b"/docker/1", "/cg"),  # a container that sees its own group only
        (b"/docker/1", b"/docker/1/a", "/cg/a"),
        (b"/docker/1", b"/docker/12", None),
        (b"/docker/1", b"/", None),
        (b"/", b"/../other", None),  # outside of what this name space shows
        (b"/", b"/a (deleted)", None),
    ],
)
def test_groups_seen_from_within_a_container(root: bytes, group: bytes, expected: str | None) -> None:
    mounts = b"31 30 0:27 %s /cg rw - cgroup2 cgroup2 rw\n" % root
    assert directory(mounts, b"0::%s\n" % group) == expected


def test_mount_points_with_blanks() -> None:
    assert directory(b"31 30 0:27 / /my\\040groups rw - cgroup2 none rw\n", b"0::/a\n") == "/my groups/a"
    assert directory(b"", b"0::/a\n") is None
    assert directory(HYBRID_MOUNTS, b"") is None


@pytest.mark.parametrize(
    "content",
    ["low 0\nhigh 0\nmax 31\noom 2\noom_kill 3\noom_group_kill 7\n", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"],
)
def test_counts_of_both_versions(tmp_path: Path, content: str) -> None:
    file = tmp_path / "events"
    assert cgroup_paths.memory_kills(file) == 0
    file.write_text(content)
    assert cgroup_paths.memory_kills(file) == 3


# --- where only a count is to be had


def count(file: Path, number: int) -> None:
    file.write_text(f"oom_kill {number}\n")


@pytest.fixture
def counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "memory.events.local"
    count(file, 5)
    monkeypatch.setattr(cgroup_paths, "memory_counter", lambda: file)
    monkeypatch.setattr(memory_kills, "killed_for_memory", lambda *_: None)
    return file


def test_a_rising_count_reports_as_many_kills(counter: Path) -> None:
    kills = MemoryKills()
    assert not kills.killed(1, 0)
    count(counter, 7)
    assert [kills.killed(pid, 0) for pid in (1, 2, 3)] == [True, True, False]


def test_a_kill_is_reported_only_for_a_short_time(counter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kills = MemoryKills()
    count(counter, 7)
    assert kills.killed(1, 0)
    monkeypatch.setattr(memory_kills, "ATTRIBUTION_WINDOW", -1.0)
    assert not kills.killed(2, 0)


def test_the_log_overrides_the_count(counter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kills = MemoryKills()
    monkeypatch.setattr(memory_kills, "killed_for_memory", lambda pid, _: pid == 1)
    count(counter, 6)
    assert not kills.killed(2, 0)
    assert kills.killed(1, 0)


# --- ends


@pytest.mark.parametrize(
    ("code", "number", "expected"),
    [(None, 9, True), (137, None, True), (None, None, True), (1, None, False), (0, None, False), (None, 11, False)],
)
def test_ends_that_may_be_kills(code: int | None, number: int | None, expected: bool) -> None:
    assert process_end.is_kill(code, number) is expected
    assert process_end.ProcessEnd(code=code, signal=number).is_kill is expected


def test_the_text() -> None:
    def said(**fields: object) -> str:
        return str(NodeExit("a", 1, NodeOutputs(stdout="", stderr=""), **fields))  # type: ignore[arg-type]

    assert said(signal=9, out_of_memory=True) == "was killed by SIGKILL, the kernel was out of memory for it"
    assert said(code=137, out_of_memory=True) == "exited with code 137, the kernel was out of memory for it"
    assert said(out_of_memory=True) == "ended, the kernel was out of memory for it"
    assert said() == "ended, with an unknown exit status"
    assert said(code=1) == "exited with code 1"
