"""What befalls a stem: torn records, recycled pids, full tables, strangers on its socket."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil
import pytest
from stems import DEADLINE, Commander, rewrite_process, spec, stem

from zeekfleet.errors import StemError
from zeekfleet.model.launch import RevivalSettings
from zeekfleet.stem import launches, protocol, records, sockets
from zeekfleet.system import procfs


def test_sigterm_stops_all(tmp_path: Path) -> None:
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        assert commander.hello().nodes == ()
        pids = [commander.create(spec(tmp_path, name)) for name in ("a", "b")]
        process.terminate()
        assert process.wait(DEADLINE) == 0
        assert not any(psutil.pid_exists(pid) for pid in pids)


def test_only_one_stem_a_directory(tmp_path: Path) -> None:
    with stem(tmp_path):
        second = subprocess.run([sys.executable, "-m", "zeekfleet.stem", str(tmp_path)], check=False, timeout=DEADLINE)
        assert second.returncode == 75
        assert Commander(tmp_path).hello().nodes == ()


def test_nodes_whose_records_are_torn_or_newer_are_known_by_their_processes(tmp_path: Path) -> None:
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        pids = {name: commander.create(spec(tmp_path, name)) for name in ("a", "newer", "torn")}
        process.kill()
        process.wait(DEADLINE)
    file = tmp_path / records.DIRECTORY_NAME / launches.LAUNCHES_NAME
    first, newer, torn = file.read_bytes().splitlines()
    newer = newer.replace(b'"version":3', b'"version":5')
    file.write_bytes(b"\n".join([first, newer, torn[:100]]))
    with stem(tmp_path):
        nodes = {node.spec.name: node for node in Commander(tmp_path).hello().nodes}
        assert {name: node.pid for name, node in nodes.items()} == pids
        assert nodes["torn"].spec == msgspec.structs.replace(spec(tmp_path, "torn"), revival=RevivalSettings())
        assert file.with_name(launches.UNREADABLE_NAME).read_bytes().splitlines() == [newer, torn[:100]]
        kept = [msgspec.json.decode(line) for line in file.read_bytes().splitlines()[-2:]]
        assert sorted(line["spec"]["name"] for line in kept) == ["newer", "torn"]


@pytest.mark.parametrize("damage", ["first line torn", "last line torn", "empty", "lost", "garbage", "newer"])
def test_a_torn_journal_loses_no_node(tmp_path: Path, damage: str) -> None:
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        pids = {name: commander.create(spec(tmp_path, name)) for name in ("a", "b")}
        process.kill()
        process.wait(DEADLINE)
    journal = tmp_path / records.DIRECTORY_NAME / records.JOURNAL_NAME
    match damage:
        case "first line torn":
            journal.write_bytes(journal.read_bytes()[10:])
        case "newer":
            newer = journal.read_bytes().replace(b'"version":3', b'"version":4')
            journal.write_bytes(newer)
        case "last line torn":
            journal.write_bytes(journal.read_bytes()[:-20])
        case "empty":
            journal.write_bytes(b"")
        case "lost":
            journal.unlink()
        case "garbage":
            journal.write_bytes(os.urandom(1000))
    with stem(tmp_path):
        nodes = {node.spec.name: node for node in Commander(tmp_path).hello().nodes}
        assert {name: node.pid for name, node in nodes.items()} == pids
        assert all(node.running for node in nodes.values())
        if damage == "newer":
            assert journal.with_name("processes.unreadable").read_bytes() == newer


def test_a_process_that_carries_our_mark_and_is_no_node_is_killed(tmp_path: Path) -> None:
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        pid = commander.create(spec(tmp_path, "a"))
        process.kill()
        process.wait(DEADLINE)
    tree = (tmp_path / records.DIRECTORY_NAME / records.TREE_NAME).read_text().strip()
    # Such as the process from which a former release forked simulated nodes.
    with (
        subprocess.Popen(["sleep", "1000"], env={"ZEEKFLEET_LAUNCH": f"{tree}:f:1.1"}, start_new_session=True) as stray,
        stem(tmp_path),
    ):
        assert stray.wait(DEADLINE) == -signal.SIGKILL
        assert Commander(tmp_path).hello().nodes[0].pid == pid


def test_files_are_written_again_at_every_start_also_by_the_next_stem(tmp_path: Path) -> None:
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        pid = commander.create(msgspec.structs.replace(spec(tmp_path, "a"), files={"sub/file": "content"}))
        file = tmp_path / "nodes/a/sub/file"
        assert file.read_text() == "content"
        assert file.stat().st_mode & 0o777 == 0o600
        process.kill()
        process.wait(DEADLINE)
    file.write_text("spoilt")
    with stem(tmp_path):
        commander = Commander(tmp_path)
        assert commander.hello().nodes[0].pid == pid
        os.kill(pid, signal.SIGKILL)
        commander.until(protocol.Started)
        assert file.read_text() == "content"
        commander.send(protocol.Destroy(1, ("a",)))
        commander.until(protocol.Done)
        deadline = time.monotonic() + DEADLINE
        while (tmp_path / records.DIRECTORY_NAME / launches.LAUNCHES_NAME).read_bytes():
            assert time.monotonic() < deadline
            os.sched_yield()


def test_a_destroyed_node_does_not_come_back_though_its_launch_is_still_there(tmp_path: Path) -> None:
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        commander.create(spec(tmp_path, "a"))
        commander.create(spec(tmp_path, "b"))
        file = tmp_path / records.DIRECTORY_NAME / launches.LAUNCHES_NAME
        content = file.read_bytes()
        commander.send(protocol.Destroy(1, ("a",)))
        commander.until(protocol.Done)
        process.kill()
        process.wait(DEADLINE)
    file.write_bytes(content)
    with stem(tmp_path):
        assert [node.spec.name for node in Commander(tmp_path).hello().nodes] == ["b"]
        last = msgspec.json.decode(file.read_bytes().splitlines()[-1], type=launches.LaunchRecord)
        assert last.gone == ("a",)


def test_a_recycled_pid_is_no_node(tmp_path: Path) -> None:
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        pid = commander.create(spec(tmp_path, "a"))
        process.kill()
        process.wait(DEADLINE)
    os.kill(pid, signal.SIGKILL)
    # The stranger has our node's pid, but was started at another time.
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as stranger:
        rewrite_process(tmp_path, pid=stranger.pid, start_time=1)
        try:
            with stem(tmp_path):
                (node,) = Commander(tmp_path).hello().nodes
                assert node.running
                assert node.pid not in (stranger.pid, pid)
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_records_of_another_boot_name_no_process(tmp_path: Path) -> None:
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        pid = commander.create(spec(tmp_path, "a"))
        process.kill()
        process.wait(DEADLINE)
    os.kill(pid, signal.SIGKILL)
    path = tmp_path / records.DIRECTORY_NAME / records.JOURNAL_NAME
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as stranger:
        # Even pid and start time together may come again after a boot.
        rewrite_process(tmp_path, pid=stranger.pid, start_time=procfs.start_time(stranger.pid))
        path.write_bytes(path.read_bytes().replace(procfs.boot_id().encode(), b"another"))
        try:
            with stem(tmp_path):
                (node,) = Commander(tmp_path).hello().nodes
                assert node.pid not in (stranger.pid, pid)
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_no_descriptors_left_is_survived(tmp_path: Path) -> None:
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        used = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
        before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (used + 1, before[1]))
        commander.send(protocol.Create(1, (spec(tmp_path, "a"),)))
        failed = commander.until(protocol.LaunchFailed)
        assert isinstance(failed, protocol.LaunchFailed)
        assert "Too many open files" in failed.reason
        assert failed.revive_in is not None
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)
        started = commander.until(protocol.Started)
        assert isinstance(started, protocol.Started)
        assert psutil.pid_exists(started.pid)


def test_a_thousand_crashes(tmp_path: Path) -> None:
    settings = RevivalSettings(initial_delay=0, max_delay=0, loop_limit=100000)
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        sibling = commander.create(spec(tmp_path, "sibling"))
        commander.send(protocol.Create(1, (spec(tmp_path, "a", "false", revival=settings),)))
        before = psutil.Process(process.pid).memory_info().rss
        for _ in range(1000):
            exited = commander.until(protocol.Exited)
            assert isinstance(exited, protocol.Exited)
            assert exited.code == 1
        assert psutil.pid_exists(sibling)
        assert psutil.Process(process.pid).memory_info().rss < min(before + 5_000_000, 25 * 1024 * 1024)
        assert psutil.Process(process.pid).num_fds() < 20
        commander.send(protocol.Destroy(2, ("a",)))
        commander.until(protocol.Done)


def test_the_directory_of_a_node_may_vanish(tmp_path: Path) -> None:
    with stem(tmp_path):
        commander = Commander(tmp_path)
        commander.hello()
        node = spec(tmp_path, "a")
        pid = commander.create(node)
        directory = Path(node.directory)
        for path in directory.iterdir():
            path.unlink()
        directory.rmdir()
        directory.parent.rmdir()
        directory.parent.write_text("in the way")
        os.kill(pid, signal.SIGKILL)
        failed = commander.until(protocol.LaunchFailed)
        assert isinstance(failed, protocol.LaunchFailed)
        directory.parent.unlink()
        started = commander.until(protocol.Started)
        assert isinstance(started, protocol.Started)
        assert directory.is_dir()


def test_events_missed_are_kept_within_bounds(tmp_path: Path) -> None:
    settings = RevivalSettings(initial_delay=0, max_delay=0, loop_limit=100000)
    with stem(tmp_path):
        commander = Commander(tmp_path)
        commander.hello()
        commander.send(protocol.Create(1, (spec(tmp_path, "a", "sh", "-c", "echo >> count", revival=settings),)))
        commander.until(protocol.Exited)
        commander.socket.close()
        count = tmp_path / "nodes/a/count"
        deadline = time.monotonic() + DEADLINE
        while count.stat().st_size < 700:
            assert time.monotonic() < deadline
            os.sched_yield()
        welcome = Commander(tmp_path).hello()
        assert len(welcome.missed) == 1000
        assert welcome.dropped > 0


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!I", 0xFFFFFFFF),
        struct.pack("!I", 2) + b"{}",
        struct.pack("!I", 3) + b"\xff\xff\xff",
        protocol.encode(protocol.Hello(version=99)),
        protocol.encode(protocol.Hurry(1)),
        struct.pack("!I", 100000) + b"[" * 100000,
    ],
)
def test_strangers_are_shown_out_and_others_served(tmp_path: Path, data: bytes) -> None:
    with stem(tmp_path):
        half = Commander(tmp_path)
        half.socket.sendall(b"\x00\x00")
        stranger = Commander(tmp_path)
        stranger.socket.sendall(data)
        assert all(isinstance(message, protocol.Refused) for message in stranger.last_words())
        assert Commander(tmp_path).hello().nodes == ()


def test_nobody_is_woken_while_nothing_happens(tmp_path: Path) -> None:
    def wakeups(pid: int) -> int:
        statuses = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/status")]
        return sum(int(fields[fields.index("voluntary_ctxt_switches:") + 1]) for fields in statuses)

    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        for number in range(10):
            commander.create(spec(tmp_path, f"n{number}"))
        commander.send(protocol.Create(8, tuple(spec(tmp_path, f"m{number}") for number in range(20))))
        commander.until(protocol.Done)
        commander.send(protocol.Hurry(9))
        commander.until(protocol.Done)
        # A poller is woken in each of these windows; a page that is read late wakes it in one.
        counts = []
        for _ in range(5):
            before = wakeups(process.pid)
            time.sleep(2)  # what is measured is this time
            counts.append(wakeups(process.pid) - before)
            if counts[-1] <= 1:
                break
        assert counts[-1] <= 1, counts


async def test_a_supervisor_says_so_when_the_stem_cannot_start(tmp_path: Path) -> None:
    from zeekfleet.supervisor import CommandEngine, Supervisor

    (tmp_path / sockets.LOCK_NAME).mkdir()
    with pytest.raises(StemError, match="Is a directory"):
        async with asyncio.timeout(DEADLINE), Supervisor(tmp_path, CommandEngine(["true"])):
            raise AssertionError("it started")


def test_a_socket_file_of_a_dead_stem_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / sockets.SOCKET_NAME))
    with stem(tmp_path):
        assert Commander(tmp_path).hello().nodes == ()


def test_what_a_commander_asked_for_with_its_last_breath_is_told_to_the_next(tmp_path: Path) -> None:
    with stem(tmp_path) as process:
        first = Commander(tmp_path)
        first.hello()
        slow = spec(tmp_path, "slow", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
        first.create(msgspec.structs.replace(slow, grace=1.0))
        first.create(spec(tmp_path, "quick"))
        output = Path(slow.stdout_file)
        deadline = time.monotonic() + DEADLINE
        while output.read_text() != "ready\n":
            assert time.monotonic() < deadline
            os.sched_yield()
        os.kill(process.pid, signal.SIGSTOP)
        first.send(protocol.Destroy(1, ("slow",)))
        first.send(protocol.Create(2, (spec(tmp_path, "new"),)))
        first.socket.close()
        second = Commander(tmp_path)
        second.send(protocol.Hello())
        os.kill(process.pid, signal.SIGCONT)
        welcome = second.receive()
        assert isinstance(welcome, protocol.Welcome)
        # It is on its way out, as nobody but the first one can tell; what was to be created is there.
        assert {"quick", "new"} <= {node.spec.name for node in welcome.nodes}
        assert second.until(protocol.Gone) == protocol.Gone("slow")
