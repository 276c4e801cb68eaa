"""Nodes that the kernel kills for want of memory: told as such, wherever that is to be known from.

A group that limits memory is made below this process's own, in either version of control groups;
where that cannot be, tests are skipped.
"""

# What a process does to its control group tells nobody.

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from supervised import DEADLINE, Ends, details, pid_of

from support.daemons import Daemon
from support.ports import free_ports
from support.waiting import async_until
from zeekfleet import Client
from zeekfleet.broker.events.agent import NotifyError
from zeekfleet.client.verbs.status import last_exit
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.launch import Resources, RevivalSettings
from zeekfleet.model.management import Configuration, Instance, Node
from zeekfleet.model.supervision import NodeDetails
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.supervisor import CommandEngine, NodeExit, Supervisor, kernel_log, memory_kills
from zeekfleet.system import cgroup_paths, procfs
from zeekfleet.transport.bus import Delivery

MEGABYTE = 2**20
LIMIT = 64 * MEGABYTE
MOST = 512 * MEGABYTE
ONCE = RevivalSettings(enabled=False)

EATER = f"""
import os, signal, sys
def eat(*_):
    kept = []
    for _ in range({MOST // MEGABYTE}):
        kept.append(bytearray(b'x') * {MEGABYTE})
signal.signal(signal.SIGUSR1, eat)
for group in sys.argv[1:]:
    with open(group, 'w') as processes:
        processes.write(str(os.getpid()))
print('up', flush=True)
while True:
    signal.pause()
"""


def eater(*arguments: str, **options: object) -> CommandEngine:
    """A node that eats memory upon SIGUSR1."""
    return CommandEngine([sys.executable, "-S", "-c", EATER, *arguments], **options)  # type: ignore[arg-type]


class Cell:
    """A group in which there is little memory."""

    def __init__(self, directory: Path, limits: tuple[str, ...]) -> None:
        self.processes = directory / "cgroup.procs"
        self._directory = directory
        self._limits = limits

    def limit(self, amount: int) -> None:
        for name in self._limits:
            with contextlib.suppress(FileNotFoundError):  # where swap is not counted
                (self._directory / name).write_text(str(amount))

    def close(self) -> None:
        """What is in it is being killed, and told to nobody."""
        deadline = time.monotonic() + DEADLINE
        while True:
            with contextlib.suppress(OSError):
                return self._directory.rmdir()
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture
def cell() -> Iterator[Cell]:
    name = f"zeekfleet-test-{os.getpid()}"
    mounts, groups = procfs.read("/proc/self/mountinfo"), procfs.read("/proc/self/cgroup")
    made = None
    if (old := cgroup_paths.place_in(mounts, groups, "memory")) is not None:
        made = Cell(old.directory / name, ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"))
        parent = old.directory
    elif (new := cgroup_paths.unified()) is not None:
        made = Cell(new.directory / name, ("memory.swap.max", "memory.max"))
        parent = new.directory
        with contextlib.suppress(OSError):
            (parent / "cgroup.subtree_control").write_text("+memory")
    if made is None:
        pytest.skip("no control groups are mounted here")
    try:
        (parent / name).mkdir()
    except OSError as error:
        pytest.skip(f"no memory group can be made here: {error}")
    try:
        if not any((parent / name / limit).exists() for limit in ("memory.limit_in_bytes", "memory.max")):
            pytest.skip("memory cannot be limited here")
        made.limit(LIMIT)
        yield made
    finally:
        made.close()


async def up(tmp_path: Path, name: str = "a") -> None:
    await async_until(lambda: "up" in (tmp_path / "nodes" / name / "stdout").read_text())


def needs_own_groups(supervisor: Supervisor) -> Path:
    """The node's control group, which limits its memory."""
    resources = details(supervisor).resources
    if "control group" not in resources["memory"]:
        pytest.skip("no control group of version 2 can limit memory here")
    return Path(resources["cgroup"])


def needs_log() -> None:
    if kernel_log.killed_for_memory(os.getpid(), 0) is None:
        pytest.skip("the kernel's log cannot be read here")


def assert_told(end: NodeExit, told: NodeDetails) -> None:
    assert end.out_of_memory
    assert str(end) == "was killed by SIGKILL, the kernel was out of memory for it"
    assert last_exit(told) == "out of memory"
    report = Path(end.crash_report)
    assert "the kernel was out of memory for it" in (report / "summary").read_text()
    assert json.loads((report / "report.json").read_bytes())["out_of_memory"] is True


# --- a group of its own


async def test_a_kill_within_its_own_group_is_told(tmp_path: Path) -> None:
    async with Supervisor(tmp_path, eater(resources=Resources(memory=LIMIT))) as supervisor:
        ends = Ends(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        await supervisor.create(NodeConfig(name="sibling"))
        group = needs_own_groups(supervisor)
        assert details(supervisor).resources["memory"] == f"{LIMIT} bytes (control group)"
        assert (group / "memory.max").read_text().strip() == str(LIMIT)
        await up(tmp_path)
        pid, sibling = pid_of(supervisor), pid_of(supervisor, "sibling")
        assert str(pid) in (group / "cgroup.procs").read_text().split()
        os.kill(pid, signal.SIGUSR1)
        assert_told(await ends.first(), details(supervisor))
        await async_until(lambda: details(supervisor).state == "running" and pid_of(supervisor) != pid)
        assert str(pid_of(supervisor)) in (group / "cgroup.procs").read_text().split()
        assert pid_of(supervisor, "sibling") == sibling
        assert await supervisor.destroy("a")
        assert not group.exists()
    assert not group.parent.exists()


async def test_a_child_killed_for_memory_is_not_taken_for_its_node(tmp_path: Path) -> None:
    """What is said of an end concerns that end: a stop, or a kill by hand of a node without want."""
    text = f"{sys.executable} -S -c 'x = bytes([1]) * {MOST}'; echo \"child $?\"; echo up; exec sleep 1000"
    engine = CommandEngine(["sh", "-c", text], resources=Resources(memory=LIMIT), revival=ONCE)
    async with Supervisor(tmp_path, engine) as supervisor:
        ends = Ends(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        group = needs_own_groups(supervisor)
        await up(tmp_path)
        assert "child 137" in (tmp_path / "nodes/a/stdout").read_text()
        assert cgroup_paths.memory_kills(group / "memory.events") >= 1
        assert await supervisor.destroy("a")
        end = await ends.first()
        assert end.requested
        assert not end.out_of_memory


@pytest.mark.parametrize("journal", ["kept", "lost"])
async def test_an_adopted_node_keeps_its_group(tmp_path: Path, journal: str) -> None:
    family = "for n in 1 2 3; do (setsid env -i sh -c 'echo $$; exec sleep 1000' &); done; "
    text = f'{family} exec {sys.executable} -S -c "$0"'
    engine = CommandEngine(["sh", "-c", text, EATER], resources=Resources(memory=LIMIT), revival=ONCE)
    async with Supervisor(tmp_path, engine) as supervisor:
        ends = Ends(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        group = needs_own_groups(supervisor)
        await up(tmp_path)
        output = tmp_path / "nodes/a/stdout"
        await async_until(lambda: len(output.read_text().split()) == 4)
        escaped = [int(word) for word in output.read_text().split() if word != "up"]
        pid = pid_of(supervisor)
        stem = psutil.Process(pid).parent()
        assert stem is not None
        if journal == "lost":
            (tmp_path / "stem" / "processes").unlink()
        stem.kill()
        log = tmp_path / "stem.stderr"
        await async_until(lambda: "found running" in log.read_text())
        await async_until(lambda: psutil.Process(pid).parent() != stem and details(supervisor).resources)
        assert pid_of(supervisor) == pid
        assert details(supervisor).resources["cgroup"] == str(group)
        os.kill(pid, signal.SIGUSR1)
        end = await ends.first()
        assert end.out_of_memory
        assert last_exit(details(supervisor)) == "out of memory"
        assert await supervisor.destroy("a")
        assert not any(psutil.pid_exists(one) for one in escaped)
        assert not group.exists()
    assert not group.parent.exists()


# --- no group of its own


async def test_a_kill_elsewhere_is_told_by_the_kernels_log(tmp_path: Path, cell: Cell) -> None:
    needs_log()
    async with Supervisor(tmp_path, eater(str(cell.processes))) as supervisor:
        ends = Ends(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        await up(tmp_path)
        pid = pid_of(supervisor)
        os.kill(pid, signal.SIGUSR1)
        assert_told(await ends.first(), details(supervisor))
        await async_until(lambda: details(supervisor).state == "running" and pid_of(supervisor) != pid)
        assert last_exit(details(supervisor)) == "out of memory"


async def test_a_kill_by_hand_is_not_taken_for_one(tmp_path: Path, cell: Cell) -> None:
    async with Supervisor(tmp_path, eater(str(cell.processes), revival=ONCE)) as supervisor:
        ends = Ends(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        await up(tmp_path)
        os.kill(pid_of(supervisor), signal.SIGKILL)
        end = await ends.first()
        assert not end.out_of_memory
        assert str(end) == "was killed by SIGKILL"
        assert last_exit(details(supervisor)) == "SIGKILL"


async def test_it_is_known_after_the_stem_and_the_supervisor_have_gone(tmp_path: Path, cell: Cell) -> None:
    needs_log()
    engine = eater(str(cell.processes))
    async with Supervisor(tmp_path, engine, on_exit="keep") as supervisor:
        ends = Ends(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        await up(tmp_path)
        os.kill(pid_of(supervisor), signal.SIGUSR1)
        assert (await ends.first()).out_of_memory
        await async_until(lambda: details(supervisor).state == "running")
        stem = psutil.Process(pid_of(supervisor)).parent()
        assert stem is not None
        stem.kill()
        await async_until(lambda: "found running" in (tmp_path / "stem.stderr").read_text())
        # An answer of the new stem's: what it knows has been taken over by then.
        assert await supervisor.create(NodeConfig(name="b")) == ""
        assert last_exit(details(supervisor)) == "out of memory"
    async with Supervisor(tmp_path, engine) as second:
        assert details(second).state == "running"
        assert last_exit(details(second)) == "out of memory"


async def test_a_group_that_only_counts_is_asked_where_the_log_is_closed(
    tmp_path: Path, cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a user who may not read the log: nodes that share a group with their supervisor."""
    counter = next(
        (
            file
            for name in ("memory.oom_control", "memory.events.local")
            if (file := cell.processes.with_name(name)).exists()
        ),
        None,
    )
    assert counter is not None
    monkeypatch.setattr(memory_kills, "killed_for_memory", lambda *_: None)
    monkeypatch.setattr(cgroup_paths, "memory_counter", lambda: counter)
    async with Supervisor(tmp_path, eater(str(cell.processes), revival=ONCE)) as supervisor:
        ends = Ends(supervisor)
        await supervisor.create(NodeConfig(name="b"))
        await up(tmp_path, "b")
        os.kill(pid_of(supervisor, "b"), signal.SIGKILL)
        assert not (await ends.first()).out_of_memory
        await supervisor.create(NodeConfig(name="a"))
        await up(tmp_path)
        os.kill(pid_of(supervisor), signal.SIGUSR1)
        await async_until(lambda: len(ends.all) == 2)
        assert_told(ends.all[1], details(supervisor))


# --- the whole tree


async def test_all_hear_of_it(tmp_path_factory: pytest.TempPathFactory, cell: Cell) -> None:
    """The daemon's log, the controller's clients at once, and whoever asks later."""
    needs_log()
    place = tmp_path_factory.mktemp("m")  # a short name: nodes dial a socket below it
    clients, agents, first = free_ports(3)
    name = "instance"
    daemon = Daemon(
        place,
        *("up", "--engine", "sim", "--agent-name", name, "--state-dir", str(place / "state")),
        *("--spool-dir", str(place / "spool"), "--agent-port", "0", "--supervisor-port", "0"),
        *("--websocket-port", str(clients), "--port", str(agents), "--grace", "0.2"),
        *("--auto-assign-metrics-ports", "no", "--auto-assign-start-port", str(first)),
    )
    told: asyncio.Queue[NotifyError] = asyncio.Queue()

    def hear(delivery: Delivery) -> None:
        if isinstance(delivery.event, NotifyError):
            told.put_nowait(delivery.event)

    with daemon:
        await asyncio.to_thread(daemon.ready)
        async with Client("127.0.0.1", clients, watcher=hear) as client:
            nodes = (
                Node("m", name, ClusterRole.MANAGER, State.RUNNING),
                Node("w", name, ClusterRole.WORKER, State.RUNNING),
            )
            await client.deploy_config(Configuration(instances=(Instance(name),), nodes=nodes), timeout=DEADLINE)
            pid = next(one.pid for one in (await client.get_nodes()).instances[name] if one.node == "w")
            assert pid is not None
            await starve(client, cell, pid)
            async with asyncio.timeout(DEADLINE):
                while (error := await told.get()).node != "w":
                    continue
            assert error.msg.startswith("node w was killed for want of memory")
            assert "report in" in error.msg
        asking = (sys.executable, "-m", "zeekfleet", "--json", "--controller", f"127.0.0.1:{clients}", "status")
        process = await asyncio.create_subprocess_exec(*asking, stdout=asyncio.subprocess.PIPE)
        answer, _ = await asyncio.wait_for(process.communicate(), DEADLINE)
        assert json.loads(answer)["results"][name]["w"]["last_exit"] == "out of memory"
        assert "node 'w' was killed by SIGKILL, the kernel was out of memory for it" in daemon.stderr
        assert await asyncio.to_thread(daemon.stop) == 0


async def starve(client: Client, cell: Cell, pid: int) -> None:
    """Have a running process find no memory when it next wants some."""
    descriptor = os.pidfd_open(pid)
    try:
        cell.processes.write_text(str(pid))
        cell.limit(0)
        async with asyncio.timeout(DEADLINE):
            while not select.select([descriptor], [], [], 0.05)[0]:
                with contextlib.suppress(Exception):
                    await client.get_id_value("bits_per_uid", ["w"], timeout=0.2)
    finally:
        os.close(descriptor)
