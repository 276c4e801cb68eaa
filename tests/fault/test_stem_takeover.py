"""What a stem makes of what the last one left: of its records, and of its processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil
import pytest
from stems import DEADLINE, Commander, rewrite_process, spec, stem

from support.daemons import wait_for_end_of
from support.waiting import until
from zeekfleet.model.launch import LaunchSpec, RevivalSettings
from zeekfleet.model.names import CONFIG_FILE
from zeekfleet.model.variables import NODE_CONFIG
from zeekfleet.stem import environment_tag, launches, protocol, records
from zeekfleet.system import procfs


def killed(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(DEADLINE)


def nodes(state: Path) -> dict[str, protocol.NodeReport]:
    return {node.spec.name: node for node in Commander(state).hello().nodes}


def logged(state: Path, capfd: pytest.CaptureFixture[str]) -> str:
    return capfd.readouterr().err


# --- records that cannot become nodes


def test_what_cannot_become_a_node_is_refused_and_leaves_no_record(tmp_path: Path) -> None:
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        pid = commander.create(spec(tmp_path, "good"))
        bad = [
            msgspec.structs.replace(spec(tmp_path, "no program"), argv=()),
            msgspec.structs.replace(spec(tmp_path, "no name"), argv=("",)),
            msgspec.structs.replace(spec(tmp_path, "directory"), directory="/a\0b"),
            msgspec.structs.replace(spec(tmp_path, "output"), stdout_file="/a\0b"),
            msgspec.structs.replace(spec(tmp_path, "file"), files={"a\0b": ""}),
        ]
        commander.send(protocol.Create(2, tuple(bad)))
        done = commander.until(protocol.Done)
        assert isinstance(done, protocol.Done)
        assert set(done.outcomes) == {each.name for each in bad}
        assert all(done.outcomes.values())
        killed(process)
    with stem(tmp_path):
        assert {name: node.pid for name, node in nodes(tmp_path).items()} == {"good": pid}


NUMBERS = [
    RevivalSettings(loop_limit=2**63 - 1),
    RevivalSettings(loop_limit=-(2**63)),
    RevivalSettings(loop_limit=2**80),
    RevivalSettings(initial_delay=1e300, factor=1e300, max_delay=1e308),
    RevivalSettings(initial_delay=-1e300, factor=-2, max_delay=-1, jitter=1e308),
    RevivalSettings(loop_limit=0, retry_delay=1e308),
]


def test_no_number_ends_the_stem(tmp_path: Path) -> None:
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        sibling = commander.create(spec(tmp_path, "sibling"))
        for number, settings in enumerate(NUMBERS):
            for program in ("false", "/no/such/program"):
                node = spec(tmp_path, f"{number} {program}", program, revival=settings)
                commander.send(protocol.Create(1, (msgspec.structs.replace(node, grace=1e300),)))
                assert commander.until(protocol.Done) == protocol.Done(1, {node.name: ""})
        killed(process)
    with stem(tmp_path):
        found = nodes(tmp_path)
        assert found["sibling"].pid == sibling
        assert len(found) == 1 + 2 * len(NUMBERS)


def test_starts_that_fail_without_a_pause_do_not_exhaust_the_stem(tmp_path: Path) -> None:
    settings = RevivalSettings(initial_delay=0, max_delay=0, loop_limit=100_000)
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        pid = commander.create(spec(tmp_path, "sibling"))
        commander.send(protocol.Create(1, (spec(tmp_path, "a", "/no/such/program", revival=settings),)))
        for _ in range(2000):
            commander.until(protocol.LaunchFailed)
        commander.send(protocol.Destroy(2, ("a",)))
        commander.until(protocol.Done)
        assert process.poll() is None
        assert psutil.pid_exists(pid)


def change_launch(state: Path, name: str, **changes: object) -> None:
    """Change what is on disk of what a node is launched with."""
    path = state / records.DIRECTORY_NAME / launches.LAUNCHES_NAME
    lines = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    for line in lines:
        if line["spec"]["name"] == name:
            line["spec"].update(changes)
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))


def test_a_record_that_cannot_become_a_node_costs_no_process(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        pids = {name: commander.create(spec(tmp_path, name)) for name in ("a", "bad", "worse")}
        killed(process)
    change_launch(tmp_path, "bad", directory="/a\0b")
    change_launch(tmp_path, "worse", argv=[])
    with stem(tmp_path):
        found = nodes(tmp_path)
        assert {name: node.pid for name, node in found.items()} == pids
        assert found["bad"].spec.directory == str(tmp_path / "nodes" / "bad")
        assert found["worse"].spec.argv == ("sleep", "1000")
        aside = tmp_path / records.DIRECTORY_NAME / launches.UNREADABLE_NAME
        assert len(aside.read_bytes().splitlines()) == 2
    assert logged(tmp_path, capfd).count("known by its process only") == 2


# --- which process is a node's

FAMILY = ("sh", "-c", "setsid sleep 1001 & exec sleep 1000")


def family(pid: int) -> int:
    """The process that a node has started, which leads a session of its own."""

    def found() -> list[int]:
        return [child for child in procfs.children(pid) if procfs.session(child) == child]

    until(lambda: procfs.read(f"/proc/{pid}/cmdline") == b"sleep\x001000\0" and found())
    return found()[0]


def test_what_a_node_has_started_is_not_taken_for_it(tmp_path: Path) -> None:
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        pid = commander.create(spec(tmp_path, "a", *FAMILY))
        started = family(pid)
        os.kill(process.pid, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        killed(process)
    assert wait_for_end_of(pid)
    with stem(tmp_path):
        assert wait_for_end_of(started)
        until(lambda: nodes(tmp_path)["a"].running)
        node = nodes(tmp_path)["a"]
        assert node.pid not in (pid, started)
        assert node.restarts == 1
        assert node.last_exit is not None
        assert not node.last_exit.requested


@pytest.mark.parametrize("known", ["nothing", "the launch before"])
def test_a_launch_that_the_journal_does_not_know_is_taken_over(tmp_path: Path, known: str) -> None:
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        first = commander.create(spec(tmp_path, "a", *FAMILY))
        os.kill(first, signal.SIGKILL)
        again = commander.until(protocol.Started)
        assert isinstance(again, protocol.Started)
        started = family(again.pid)
        killed(process)
    if known == "nothing":
        (tmp_path / records.DIRECTORY_NAME / records.JOURNAL_NAME).unlink()
    else:
        rewrite_process(tmp_path, pid=first, start_time=1, restarts=0)
    with stem(tmp_path):
        node = nodes(tmp_path)["a"]
        assert (node.pid, node.running, node.restarts) == (again.pid, True, 1)
        assert psutil.pid_exists(started)


def test_a_mark_without_a_number_is_known(tmp_path: Path) -> None:
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        commander.create(spec(tmp_path, "a"))
        killed(process)
    tree = (tmp_path / records.DIRECTORY_NAME / records.TREE_NAME).read_text().strip()
    with subprocess.Popen(
        ["sleep", "1000"], env={"ZEEKFLEET_LAUNCH": f"{tree}:n:former"}, start_new_session=True, cwd=tmp_path
    ) as former:
        for mark in (f"{tree}:", f"{tree}:l:x:a", f"{tree}:z"):
            with subprocess.Popen(["sleep", "1000"], env={"ZEEKFLEET_LAUNCH": mark}, start_new_session=True) as strange:
                with stem(tmp_path) as process:
                    assert nodes(tmp_path)["former"].pid == former.pid
                    killed(process)
                strange.kill()
        with stem(tmp_path):
            assert nodes(tmp_path)["former"].running
        former.wait(DEADLINE)


# --- nodes that do not run

LOOP = RevivalSettings(initial_delay=0.01, max_delay=0.01, jitter=0, loop_limit=3, retry_delay=300)


def state_of(node: protocol.NodeReport) -> tuple[int | None, bool, bool, int]:
    return node.pid, node.running, node.failed, node.restarts


@pytest.mark.parametrize(
    ("program", "settings"),
    [
        ("true", RevivalSettings(enabled=False)),
        ("false", LOOP),
        ("false", msgspec.structs.replace(LOOP, retry_delay=0)),
        ("/no/such/program", msgspec.structs.replace(LOOP, retry_delay=0)),
    ],
    ids=["a one-shot", "a crash loop", "a crash loop for ever", "no program"],
)
def test_the_next_stem_starts_nobody_whose_time_has_not_come(
    tmp_path: Path, program: str, settings: RevivalSettings
) -> None:
    def rests(node: protocol.NodeReport) -> bool:
        return node.failed or (not settings.enabled and node.last_exit is not None)

    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        commander.send(protocol.Create(1, (spec(tmp_path, "a", program, revival=settings),)))
        until(lambda: rests(nodes(tmp_path)["a"]))
        before = nodes(tmp_path)["a"]
        killed(process)
    for _ in range(2):
        with stem(tmp_path) as process:
            node = nodes(tmp_path)["a"]
            assert state_of(node) == state_of(before)
            assert (node.since, node.last_exit) == (before.since, before.last_exit)
            killed(process)
    # They can be started on request, and after a boot.
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        commander.send(protocol.Restart(1, ("a",)))
        kind = protocol.LaunchFailed if program.startswith("/") else protocol.Started
        commander.until(kind)
        until(lambda: rests(nodes(tmp_path)["a"]))
        restarts = nodes(tmp_path)["a"].restarts
        killed(process)
    path = tmp_path / records.DIRECTORY_NAME / records.JOURNAL_NAME
    path.write_bytes(path.read_bytes().replace(procfs.boot_id().encode(), b"another"))
    with stem(tmp_path):
        commander = Commander(tmp_path)
        node = next(iter(commander.hello().nodes))
        until(lambda: rests(nodes(tmp_path)["a"]))
        if kind is protocol.Started:
            assert nodes(tmp_path)["a"].restarts > restarts


def test_a_pending_start_is_kept_to_its_time_and_ends_are_counted_on(tmp_path: Path) -> None:
    settings = RevivalSettings(initial_delay=2, factor=1, jitter=0, loop_limit=2, retry_delay=300, loop_window=100)
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        commander.send(protocol.Create(1, (spec(tmp_path, "a", "false", revival=settings),)))
        delays: list[float | None] = []
        while len(delays) < 2:
            exited = commander.until(protocol.Exited)
            assert isinstance(exited, protocol.Exited)
            delays.append(exited.revive_in)
        assert delays == [0, 2]
        due = time.monotonic() + 2
        killed(process)
    with stem(tmp_path):
        commander = Commander(tmp_path)
        assert not commander.hello().missed
        commander.until(protocol.Started)
        assert abs(time.monotonic() - due) < 1
        exited = commander.until(protocol.Exited)
        assert isinstance(exited, protocol.Exited)
        assert (exited.failed, exited.revive_in) == (True, 300)


# --- launches that are lost


def configured(state: Path, name: str, *argv: str) -> LaunchSpec:
    """A node that can read its own configuration, as a Supervisor's can."""
    node = spec(state, name, *argv)
    path = Path(node.directory) / CONFIG_FILE
    return msgspec.structs.replace(
        node,
        env={**node.env, NODE_CONFIG: str(path)},
        files={CONFIG_FILE: f'{{"name":"{name}"}}'},
    )


def family_of_four(state: Path) -> dict[str, LaunchSpec]:
    return {name: configured(state, name) for name in ("n1", "n2", "n3", "n4")}


@pytest.mark.parametrize("journal", ["whole", "lost"])
@pytest.mark.parametrize("damage", ["half", "lost", "newer", "older"])
def test_no_process_is_lost_with_what_it_was_launched_with(
    tmp_path: Path, journal: str, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    specs = family_of_four(tmp_path)
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        pids = {name: commander.create(node) for name, node in specs.items()}
        killed(process)
    file = tmp_path / records.DIRECTORY_NAME / launches.LAUNCHES_NAME
    content = file.read_bytes()
    match damage:
        case "half":
            file.write_bytes(content[: len(content) // 2])
        case "lost":
            file.unlink()
        case "newer" | "older":
            version = b'"version":%d' % (
                launches.VERSION_WITH_USER + 1 if damage == "newer" else launches.LAUNCH_VERSION - 1
            )
            file.write_bytes(content.replace(b'"version":%d' % launches.LAUNCH_VERSION, version))
    if journal == "lost":
        file.with_name(records.JOURNAL_NAME).unlink()
    for _ in range(2):
        with stem(tmp_path) as process:
            found = nodes(tmp_path)
            assert {name: node.pid for name, node in found.items()} == pids
            assert all(node.running for node in found.values())
            assert found["n4"].recovered
            assert {node.spec.directory for node in found.values()} == {node.directory for node in specs.values()}
            killed(process)
    words = capfd.readouterr().err
    assert "is marked as node" not in words
    assert "set aside" not in words.partition("found running")[2]  # told once
    # Who wants them again with the same, gets them as they are, and revived as they should be.
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        commander.send(protocol.Create(1, tuple(specs.values())))
        done = commander.until(protocol.Done)
        assert isinstance(done, protocol.Done)
        assert not done.outcomes["n4"]
        found = nodes(tmp_path)
        assert {name: node.pid for name, node in found.items()} == pids
        assert not any(node.recovered for node in found.values())
        assert found["n4"].spec == msgspec.structs.replace(specs["n4"], files={})
        killed(process)
    with stem(tmp_path):
        assert {name: node.pid for name, node in nodes(tmp_path).items()} == pids
        commander = Commander(tmp_path)
        commander.hello()
        os.kill(pids["n4"], signal.SIGKILL)
        started = commander.until(protocol.Started)
        assert isinstance(started, protocol.Started)
        assert started.name == "n4"


# --- simulated nodes of a former release, which forked them from a process of its own


@contextmanager
def forked(node: LaunchSpec, mark: str) -> Iterator[subprocess.Popen[bytes]]:
    """Such a node: its command line and environment are those of the process that forked it."""
    Path(node.directory).mkdir(parents=True, exist_ok=True)
    (Path(node.directory) / CONFIG_FILE).write_text(node.files[CONFIG_FILE])
    env = {"PATH": os.environ["PATH"], "ZEEKFLEET_LAUNCH": mark, environment_tag.FORKED_VARIABLE: "3"}
    with (
        Path(node.stdout_file).open("ab") as stdout,
        Path(node.stderr_file).open("ab") as stderr,
        subprocess.Popen(
            ["sleep", "2000"], env=env, cwd=node.directory, stdout=stdout, stderr=stderr, start_new_session=True
        ) as process,
    ):
        yield process
        process.kill()


def tree_of(state: Path) -> str:
    with stem(state) as process:
        killed(process)
    return (state / records.DIRECTORY_NAME / records.TREE_NAME).read_text().strip()


@pytest.mark.parametrize("mark", ["{tree}:l:4:f", "{tree}:f:77.1:-----"], ids=["its own mark", "the other's mark"])
def test_a_forked_node_of_a_former_release_is_taken_over_and_later_executed(tmp_path: Path, mark: str) -> None:
    node = configured(tmp_path, "f")
    with forked(node, mark.format(tree=tree_of(tmp_path))) as process:
        for _ in range(2):
            with stem(tmp_path) as owner:
                found = nodes(tmp_path)["f"]
                assert (found.pid, found.running, found.recovered) == (process.pid, True, True)
                assert found.spec.argv == ()
                assert found.spec.paths == node.paths
                killed(owner)
        with stem(tmp_path):
            commander = Commander(tmp_path)
            commander.hello()
            commander.send(protocol.Create(1, (node,)))
            assert commander.until(protocol.Done) == protocol.Done(1, {"f": ""})
            assert nodes(tmp_path)["f"].pid == process.pid
            process.kill()
            started = commander.until(protocol.Started)
            assert isinstance(started, protocol.Started)
            command = f"/proc/{started.pid}/cmdline"  # which the kernel shows a moment after the execution only
            until(lambda: procfs.read(command) == b"sleep\x001000\0")


@pytest.mark.parametrize("known_launches", [1, 3])
def test_launches_that_the_journal_missed_are_counted(tmp_path: Path, known_launches: int) -> None:
    node = configured(tmp_path, "f")
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        pid = commander.create(node)
        journal = tmp_path / records.DIRECTORY_NAME / records.JOURNAL_NAME
        known = journal.read_bytes()
        for number in range(2, 4):
            os.kill(pid, signal.SIGKILL)
            started = commander.until(protocol.Started)
            assert isinstance(started, protocol.Started)
            pid = started.pid
            if number == known_launches:
                commander.send(protocol.Hurry(9))
                commander.until(protocol.Done)
                known = journal.read_bytes()
        killed(process)
    journal.write_bytes(known)
    with stem(tmp_path):
        found = nodes(tmp_path)["f"]
        assert (found.pid, found.running, found.restarts) == (pid, True, 2)


def test_one_that_ends_before_its_launch_is_known_again_waits_for_it(tmp_path: Path) -> None:
    node = configured(tmp_path, "f")
    with forked(node, f"{tree_of(tmp_path)}:l:0:f") as process, stem(tmp_path):
        commander = Commander(tmp_path)
        commander.hello()
        process.kill()
        failed = commander.until(protocol.LaunchFailed)
        assert isinstance(failed, protocol.LaunchFailed)
        assert "no program" in failed.reason
        elsewhere = msgspec.structs.replace(node, directory=str(tmp_path / "elsewhere"))
        commander.send(protocol.Create(1, (elsewhere,)))
        assert commander.until(protocol.Done) == protocol.Done(1, {"f": "node with name 'f' already exists"})
        commander.send(protocol.Create(2, (node,)))
        started = commander.until(protocol.Started)
        assert isinstance(started, protocol.Started)
        assert commander.until(protocol.Done) == protocol.Done(2, {"f": ""})


# --- the tree's name


def fresh(state: Path) -> None:
    """The stem's directory is lost."""
    shutil.rmtree(state / records.DIRECTORY_NAME)


def test_processes_tell_the_name_of_their_tree_when_it_is_lost(tmp_path: Path) -> None:
    specs = family_of_four(tmp_path)
    elsewhere = msgspec.structs.replace(spec(tmp_path, "elsewhere"), directory=str(tmp_path / "other"))
    with stem(tmp_path) as process:
        commander = Commander(tmp_path)
        commander.hello()
        pids = {name: commander.create(node) for name, node in {**specs, "elsewhere": elsewhere}.items()}
        killed(process)
    fresh(tmp_path)
    with stem(tmp_path):
        found = nodes(tmp_path)
        assert {name: node.pid for name, node in found.items()} == pids
        assert all(node.running and node.recovered for node in found.values())
    assert all(wait_for_end_of(pid) for pid in pids.values())


def test_what_lies_deeper_or_elsewhere_is_of_another_tree(tmp_path: Path) -> None:
    inner = tmp_path / "nodes" / "a" / "state"
    inner.mkdir(parents=True)
    with stem(inner) as process:
        commander = Commander(inner)
        commander.hello()
        pid = commander.create(configured(inner, "b"))
        killed(process)
    with stem(tmp_path):
        assert nodes(tmp_path) == {}
        assert psutil.pid_exists(pid)
    with stem(inner):
        assert nodes(inner)["b"].pid == pid


def test_nodes_of_a_stem_that_lives_are_left_to_it(tmp_path: Path) -> None:
    state, moved = tmp_path / "state", tmp_path / "moved"
    state.mkdir()
    with stem(state):
        commander = Commander(state)
        commander.hello()
        pid = commander.create(configured(state, "a"))
        state.rename(moved)
        state.mkdir()
        with stem(state):
            assert nodes(state) == {}
        assert psutil.pid_exists(pid)
        assert nodes(moved)["a"].pid == pid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_process_of_another_user_tells_nothing(tmp_path: Path) -> None:
    path = tmp_path / "nodes" / "a" / CONFIG_FILE
    env = {NODE_CONFIG: str(path), "ZEEKFLEET_LAUNCH": f"{'0' * 16}:l:0:a", "PATH": os.environ["PATH"]}
    with subprocess.Popen(["sleep", "1000"], env=env, user=65534, start_new_session=True) as stranger:
        until(lambda: procfs.read(f"/proc/{stranger.pid}/cmdline").startswith(b"sleep"))
        with stem(tmp_path):
            assert nodes(tmp_path) == {}
        assert stranger.poll() is None
        stranger.kill()
