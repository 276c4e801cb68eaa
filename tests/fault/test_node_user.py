"""Nodes that run as another user: what they may do, and that root, which works beside them, gives them no more."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from stems import DEADLINE, EAGER, Commander, spec, stem
from supervised import Ends, details, pid_of

from support.daemons import alive, wait_for_end_of
from support.waiting import async_until, until
from zeekfleet.model.launch import Account, LaunchContext, LaunchSpec, Resources, RevivalSettings
from zeekfleet.model.names import CONFIG_FILE, DAEMON_LOCK
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.model.variables import NODE_CONFIG
from zeekfleet.stem import environment_tag, launches, protocol, records
from zeekfleet.supervisor import CommandEngine, OutputLimits, Supervisor
from zeekfleet.system import procfs

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run nodes as another user")

NOBODY = 200_000 + os.getpid() % 50_000
"""A user that only this process of tests has: others may run beside it, and its processes are counted."""

PLAIN = Account(NOBODY, NOBODY)
SNIFFER = Account(NOBODY, NOBODY, capabilities=("CAP_NET_ADMIN", "CAP_NET_RAW"))
BOTH = 1 << 12 | 1 << 13
ONCE = RevivalSettings(enabled=False)
PATTERN = Path("/proc/sys/kernel/core_pattern").read_text().strip()
SECRET = "the secret\n" * 10_000


class AsUser(CommandEngine):
    """Runs a shell command as another user, or as we do."""

    def __init__(self, text: str, user: Account | None = PLAIN, **options: object) -> None:
        super().__init__(["sh", "-c", text], revival=ONCE, **options)  # type: ignore[arg-type]
        self.user = user

    def launch(self, config: NodeConfig, context: LaunchContext) -> LaunchSpec:
        return msgspec.structs.replace(super().launch(config, context), user=self.user)


@pytest.fixture
def state() -> Iterator[Path]:
    """A state directory that other users can go through."""
    with tempfile.TemporaryDirectory(prefix="zeekfleet-") as directory:
        place = Path(directory)
        place.chmod(0o755)
        (place / "nodes").mkdir(mode=0o755)
        yield place


@pytest.fixture
def precious() -> Iterator[Path]:
    """A file that only root can read, in a directory to which everybody can go."""
    with tempfile.TemporaryDirectory(prefix="zeekfleet-") as directory:
        Path(directory).chmod(0o755)
        file = Path(directory) / "precious"
        file.write_text(SECRET)
        file.chmod(0o600)
        yield file
        assert file.read_text() == SECRET
        assert file.stat().st_uid == 0
        assert [other.name for other in file.parent.iterdir()] == ["precious"]


def all_of(directory: Path) -> str:
    return "".join(file.read_text() for file in directory.iterdir())


def owners_of(place: Path) -> set[int]:
    """The users to whom it, and all that is in it, belongs."""
    return {path.lstat().st_uid for path in (place, *place.rglob("*"))}


def as_user(state: Path, name: str, *argv: str, user: Account | None = PLAIN) -> LaunchSpec:
    return msgspec.structs.replace(spec(state, name, *argv), user=user)


# --- what a node is


@pytest.mark.parametrize("user", [PLAIN, SNIFFER, msgspec.structs.replace(SNIFFER, groups=(NOBODY - 1,))])
async def test_a_node_is_the_user_and_has_its_capabilities_only(state: Path, user: Account) -> None:
    engine = AsUser("cat /proc/self/status; exit 1", user, resources=Resources(nice=-3))
    async with Supervisor(state, engine) as supervisor:
        ends = Ends(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        end = await ends.first()
        fields = dict(line.split(":\t", 1) for line in end.outputs.stdout.splitlines() if ":\t" in line)
        assert set(fields["Uid"].split()) == set(fields["Gid"].split()) == {str(NOBODY)}
        assert [int(group) for group in fields["Groups"].split()] == [*user.groups]
        wanted = BOTH if user.capabilities else 0
        assert [int(fields[f"Cap{kind}"], 16) for kind in ("Prm", "Eff", "Inh", "Amb")] == [wanted] * 4
        assert fields["NoNewPrivs"] == "1"
        effects = details(supervisor).resources
        assert effects["user"].split() == [f"{NOBODY}:{NOBODY}", *user.capabilities]
        assert effects["nice"] == "-3"  # set before the rights for it were given up


@pytest.mark.parametrize("user", [PLAIN, SNIFFER], ids=["plain", "sniffer"])
async def test_only_with_capabilities_a_program_sees_traffic(state: Path, user: Account) -> None:
    interpreter = shutil.which("python3", path="/usr/bin:/bin")
    if interpreter is None:
        pytest.skip("no interpreter that everybody can run")
    text = (
        f"{interpreter} -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW).bind((\"lo\", 3))'; exit $?"
    )
    async with Supervisor(state, AsUser(text, user)) as supervisor:
        ends = Ends(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        end = await ends.first()
        assert (end.code, "PermissionError" in end.outputs.stderr) == ((0, False) if user is SNIFFER else (1, True))


async def test_a_stem_of_a_former_release_is_not_asked_for_it(state: Path) -> None:
    """It would not know whom a node is to run as, and run it as root."""
    former = msgspec.json.encode({"type": "Welcome", "version": 3, "pid": 1, "nodes": [], "missed": [], "dropped": 0})
    async with Supervisor(state, AsUser("exec sleep 1000")) as supervisor:
        welcome = protocol.from_stem_decoder.decode(former)
        assert isinstance(welcome, protocol.Welcome)
        supervisor._welcomed(welcome)
        problem = await supervisor.create(NodeConfig(name="a"))
        assert problem.startswith("node 'a' cannot run as another user: the stem that runs is of a former release")
        assert not children_of_user()


@pytest.mark.parametrize("cgroup", [False, True])
async def test_limits_hold_for_another_user_as_well(state: Path, cgroup: bool) -> None:
    limits = Resources(open_files=77, memory=300 * 2**20, core=0, cgroup=cgroup)
    async with Supervisor(state, AsUser("ulimit -n; ulimit -c; exit 1", resources=limits)) as supervisor:
        ends = Ends(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        assert (await ends.first()).outputs.stdout == "77\n0"


async def test_its_files_are_its_own_and_private(state: Path) -> None:
    async with Supervisor(state, AsUser("exec sleep 1000")) as supervisor:
        assert await supervisor.create(NodeConfig(name="a")) == ""
        directory = state / "nodes" / "a"
        for path in (directory, *directory.iterdir()):
            found = path.stat()
            assert (found.st_uid, found.st_gid) == (NOBODY, NOBODY), path
            assert stat.S_IMODE(found.st_mode) == (0o700 if path == directory else 0o600), path


async def test_what_cannot_be_run_is_told_with_the_user(state: Path) -> None:
    program = state / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)

    class Ours(AsUser):
        def launch(self, config: NodeConfig, context: LaunchContext) -> LaunchSpec:
            return msgspec.structs.replace(super().launch(config, context), argv=(str(program),))

    async with Supervisor(state, Ours("")) as supervisor:
        ends = Ends(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        assert (await ends.first()).outputs.stderr == f"Permission denied, for user {NOBODY}: {program}"


async def test_a_core_is_read_by_a_debugger_of_the_user(state: Path) -> None:
    if shutil.which("gdb") is None or PATTERN.startswith("|") or "/" in PATTERN:
        pytest.skip("no gdb, or cores do not go to the working directory")
    async with Supervisor(state, AsUser("exec sleep 1000", resources=Resources(core=2**30))) as supervisor:
        ends = Ends(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        os.kill(pid_of(supervisor), signal.SIGABRT)
        end = await ends.first()
        assert end.core_dumped
        backtrace = Path(end.crash_report) / "backtrace"
        assert "SIGABRT" in await async_until(lambda: backtrace.exists() and backtrace.read_text())


# --- traps in its directory


async def test_root_does_not_read_through_its_links(state: Path, precious: Path) -> None:
    text = f"rm stdout stderr; ln -s {precious} stdout; ln {precious} stderr; echo > {CONFIG_FILE}; exit 1"
    async with Supervisor(state, AsUser(text)) as supervisor:
        ends = Ends(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        end = await ends.first()
        assert end.code == 1
        assert "secret" not in end.outputs.stdout + end.outputs.stderr
        assert "secret" not in all_of(Path(end.crash_report))


async def test_root_does_not_rotate_through_its_links(state: Path, precious: Path) -> None:
    text = (
        f"head -c 100000 /dev/zero; mv stdout old; ln -s {precious} stdout; head -c 100000 /dev/zero; exec sleep 1000"
    )
    async with Supervisor(state, AsUser(text), outputs=OutputLimits(size=4096, kept=2)) as supervisor:
        await supervisor.create(NodeConfig(name="a"))
        directory = state / "nodes" / "a"
        await async_until(lambda: (directory / "old").exists() and (directory / "stdout").is_symlink())
        # A second node whose output is rotated after that of the first has been looked at.
        await supervisor.create(NodeConfig(name="b"), AsUser("head -c 100000 /dev/zero; exec sleep 1000", user=None))
        await async_until((state / "nodes" / "b" / "stdout.1").exists)


@pytest.mark.parametrize("trap", ["link", "hard link", "directory of a file", "draft of a file", "pipe"])
def test_root_does_not_write_through_its_links(state: Path, precious: Path, trap: str) -> None:
    node = msgspec.structs.replace(as_user(state, "a", "true"), files={"box/requests": "content"})
    directory = Path(node.directory)
    with stem(state):
        commander = Commander(state)
        commander.hello()
        commander.create(node)
        until(lambda: not children_of_user())
        commander.send(protocol.Destroy(2, ("a",)))
        commander.until(protocol.Done)
        (directory / "box" / "requests").unlink()
        match trap:
            case "link":
                Path(node.stdout_file).unlink()
                lay(lambda: Path(node.stdout_file).symlink_to(precious))
            case "hard link":  # for which the kernel may need fs.protected_hardlinks to be off
                Path(node.stdout_file).unlink()
                Path(node.stdout_file).hardlink_to(precious)
            case "directory of a file":
                (directory / "box").rmdir()
                lay(lambda: (directory / "box").symlink_to(precious.parent))
            case "draft of a file":
                lay(lambda: (directory / "box" / ".requests.new").symlink_to(precious))
            case "pipe":
                Path(node.stdout_file).unlink()
                lay(lambda: os.mkfifo(node.stdout_file))
        commander.send(protocol.Create(3, (node,)))
        failed = commander.until(protocol.LaunchFailed)
        assert isinstance(failed, protocol.LaunchFailed)
        assert failed.reason.startswith(
            {
                "link": "a symbolic link is not followed",
                "draft of a file": "a symbolic link is not followed",
                "pipe": "No such device",
            }.get(trap, "Permission denied")
        )


def lay(trap: object) -> None:
    """Lay a trap with the rights of the node's user."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            trap()  # type: ignore[operator]
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def children_of_user() -> list[int]:
    return [pid for pid in procfs.processes() if procfs.user(pid) == NOBODY and procfs.life(pid) is not None]


async def test_a_forged_configuration_is_not_believed(state: Path) -> None:
    """The next supervisor reads configurations from files that nodes could change."""
    forged = NodeConfig(name="agent", directory="/etc")
    engine = AsUser(f"echo '{msgspec.json.encode(forged, enc_hook=str).decode()}' > {CONFIG_FILE}; exec sleep 1000")
    async with Supervisor(state, engine, on_exit="keep") as supervisor:
        await supervisor.create(NodeConfig(name="a"))
        await async_until(lambda: "/etc" in (state / "nodes" / "a" / CONFIG_FILE).read_text())
    async with Supervisor(state, engine) as supervisor:
        assert {name: status.node.directory for name, status in supervisor.status().nodes.items()} == {
            "a": str(state / "nodes" / "a")
        }


# --- whose a directory is


async def test_the_directory_of_a_node_of_root_is_handed_over_and_not_taken_back(state: Path) -> None:
    directory = state / "nodes" / "a"
    async with Supervisor(state, AsUser("mkdir -p deep; touch deep/log; ln -s /etc link", user=None)) as supervisor:
        ends = Ends(supervisor)
        await supervisor.create(NodeConfig(name="a"))
        await ends.first()
        await supervisor.destroy("a")
        assert await supervisor.create(NodeConfig(name="a"), AsUser("exec sleep 1000")) == ""
        assert owners_of(directory) == {NOBODY}
        assert owners_of(Path("/etc/hosts")) == {0}
        await supervisor.destroy("a")
        problem = await supervisor.create(NodeConfig(name="a"), AsUser("true", user=None))
        assert problem == (
            f"directory {directory} belongs to user {NOBODY}, and the node is to run as user 0:"
            f" move it away, or, if you trust what is in it, run 'chown -R 0 {directory}'"
        )
        assert supervisor.status().nodes == {}


async def test_other_directories_are_not_given_away(state: Path, precious: Path) -> None:
    agents = state / "nodes" / "agent"
    agents.mkdir()
    (agents / DAEMON_LOCK).touch()
    async with Supervisor(state, AsUser("exec sleep 1000")) as supervisor:
        for directory in (precious.parent, agents):
            problem = await supervisor.create(NodeConfig(name="a", directory=str(directory)))
            assert problem.startswith(
                f"directory {directory} belongs to user 0, and the node is to run as user {NOBODY}"
            )
            assert directory.stat().st_uid == 0
        problem = await supervisor.create(NodeConfig(name="a", directory=f"{precious.parent}/new"))
        assert problem == f"failed to create working directory {precious.parent}/new"


# --- a stem that is killed


@pytest.mark.parametrize("lost", ["nothing", "journal", "launches", "all"])
def test_nodes_of_another_user_are_found_again(state: Path, lost: str) -> None:
    path = state / "nodes" / "a" / CONFIG_FILE
    node = as_user(state, "a", user=SNIFFER)
    node = msgspec.structs.replace(node, env={**node.env, NODE_CONFIG: str(path)}, files={CONFIG_FILE: '{"name":"a"}'})
    with stem(state) as process:
        commander = Commander(state)
        commander.hello()
        pid = commander.create(node)
        process.kill()
        process.wait(DEADLINE)
    directory = state / records.DIRECTORY_NAME
    names = {"journal": (records.JOURNAL_NAME,), "launches": (launches.LAUNCHES_NAME,), "nothing": ()}
    for name in names.get(lost, (records.JOURNAL_NAME, launches.LAUNCHES_NAME, records.TREE_NAME)):
        (directory / name).unlink()
    with stem(state):
        commander = Commander(state)
        (found,) = commander.hello().nodes
        assert (found.spec.name, found.pid, found.running) == ("a", pid, True)
        assert found.spec.user == SNIFFER
        os.kill(pid, signal.SIGKILL)
        started = commander.until(protocol.Started)
        assert isinstance(started, protocol.Started)
        assert procfs.user(started.pid) == NOBODY
        assert wait_for_end_of(pid)
    assert wait_for_end_of(started.pid)


def test_a_process_of_another_user_is_not_taken_for_roots_node(state: Path) -> None:
    with stem(state) as process:
        commander = Commander(state)
        commander.hello()
        pid = commander.create(spec(state, "agent"))
        process.kill()
        process.wait(DEADLINE)
    tree = (state / records.DIRECTORY_NAME / records.TREE_NAME).read_text().strip()
    (state / records.DIRECTORY_NAME / records.JOURNAL_NAME).unlink()
    forged = environment_tag.of_launch(tree, "agent", 1000)
    command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "sleep", "1000"]
    with subprocess.Popen(
        command, env={"PATH": os.environ["PATH"], "ZEEKFLEET_LAUNCH": forged}, start_new_session=True
    ) as impostor:
        try:
            until(lambda: procfs.user(impostor.pid) == NOBODY)
            with stem(state):
                (found,) = Commander(state).hello().nodes
                assert (found.spec.name, found.pid) == ("agent", pid)
        finally:
            impostor.kill()


def test_a_lost_launch_is_not_completed_with_more_rights(state: Path) -> None:
    """What is known of a node without its launch is what its process shows, which anybody could have made up."""
    node = as_user(state, "a")
    with stem(state) as process:
        commander = Commander(state)
        commander.hello()
        commander.create(node)
        process.kill()
        process.wait(DEADLINE)
    (state / records.DIRECTORY_NAME / launches.LAUNCHES_NAME).unlink()
    with stem(state):
        (found,) = Commander(state).hello().nodes
        assert found.recovered
        assert found.spec.user == PLAIN


# --- ends


def test_nothing_of_it_is_left(state: Path) -> None:
    """Neither a child that has left its session and cleared its environment, nor one that has another directory."""
    left = "setsid env -i /bin/sh -c 'cd /; exec </dev/null >/dev/null 2>&1; /bin/sleep 1000 & wait' & exec sleep 1000"
    node = as_user(state, "a", "sh", "-c", left)
    with stem(state) as process:
        commander = Commander(state)
        commander.hello()
        pid = commander.create(node)
        until(lambda: len(children_of_user()) == 3)
        family = children_of_user()
        assert pid in family
        commander.send(protocol.Destroy(2, ("a",)))
        commander.until(protocol.Done)
        assert not any(alive(each) for each in family)
        assert process.poll() is None


def test_a_hostile_end_is_survived(state: Path) -> None:
    """A node that leaves a pipe where its output was; it is revived by its policy, and the stem goes on."""
    node = as_user(state, "a", "sh", "-c", "rm stdout; mkfifo stdout; exit 1")
    with stem(state):
        commander = Commander(state)
        commander.hello()
        commander.send(protocol.Create(1, (node,)))
        assert isinstance(commander.until(protocol.LaunchFailed), protocol.LaunchFailed)
        other = commander.create(msgspec.structs.replace(as_user(state, "b"), revival=EAGER))
        assert alive(other)
