"""Nodes as another user: the settings, the rights of each node, and files in directories that are not ours."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from zeekfleet.agent import start_barrier
from zeekfleet.archive.compression import Compression
from zeekfleet.archive.names import parse_rotated
from zeekfleet.archive.writer import ArchiveWriter, Outcome
from zeekfleet.daemon import node_user
from zeekfleet.daemon.directories import LOCK, daemon_directories
from zeekfleet.daemon.launch_defaults import LaunchDefaults
from zeekfleet.errors import SettingsError
from zeekfleet.model.launch import Account, LaunchContext, LaunchSpec
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.node.facts import gather
from zeekfleet.node.simulator.engine import SimulatorEngine
from zeekfleet.node.zeek.mailbox import Mailboxes
from zeekfleet.node.zeek.status_files import says_running
from zeekfleet.planning.checks import Listener, Needs
from zeekfleet.planning.layout import STATUS_FILE
from zeekfleet.settings import SupervisorSettings
from zeekfleet.supervisor import CommandEngine
from zeekfleet.system.privileges import acting_as, acting_as_owner

NOBODY = 65534
USER = Account(NOBODY, NOBODY)
CONTEXT = LaunchContext("/d", "/d/o", "/d/e", "/s", "/s/spool", False, {"HOME": "/root", "USER": "root", "A": "b"})
CONN = "conn__2026-11-27-03-00-00__2026-11-27-04-00-00__.log"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


# --- settings


def wrong(**settings: str) -> str:
    with pytest.raises(SettingsError) as caught:
        node_user.node_user(SupervisorSettings(**settings))
    return str(caught.value)


def test_without_the_setting_nodes_run_as_we_do() -> None:
    assert node_user.node_user(SupervisorSettings()) is None


def test_what_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert wrong(node_user="no such one") == "supervisor.node_user: there is no user 'no such one'"
    assert wrong(node_user="root") == "supervisor.node_user: nodes run as root if this is left out"
    assert wrong(node_group="root").startswith("supervisor.node_group: does not apply")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert wrong(node_user="nobody").startswith("supervisor.node_user: only root can run nodes as another user, and")


def test_a_root_that_lacks_rights_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(node_user.capabilities, "effective", lambda: node_user.NEEDED - {"CAP_KILL", "CAP_SYS_PTRACE"})
    told = "supervisor.node_user: nodes cannot run as another user: this process lacks CAP_KILL, CAP_SYS_PTRACE"
    assert wrong(node_user="nobody") == told


def test_user_and_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(node_user.capabilities, "effective", lambda: node_user.NEEDED)
    found = node_user.node_user(SupervisorSettings(node_user="nobody"))
    assert found is not None
    assert found.uid == NOBODY
    assert found.gid not in found.groups
    stranger = str(2**31 - 7)
    assert "user 2147483641 has no entry, and so no group: name one" in wrong(node_user=stranger)
    assert wrong(node_user="nobody", node_group="no such one").endswith("there is no group 'no such one'")
    assert node_user.node_user(SupervisorSettings(node_user=stranger, node_group="7")) == Account(2**31 - 7, 7)


class Engine(CommandEngine):
    def __init__(self, reads_traffic: bool) -> None:
        super().__init__(("true",))
        self.reads_traffic = reads_traffic


def launched(engine: CommandEngine, **keys: object) -> LaunchSpec:
    return LaunchDefaults(engine, user=USER).launch(NodeConfig("a", **keys), CONTEXT)  # type: ignore[arg-type]


def test_only_nodes_that_look_at_traffic_get_rights_for_it() -> None:
    sniffer = msgspec.structs.replace(USER, capabilities=("CAP_NET_ADMIN", "CAP_NET_RAW"))
    assert launched(Engine(reads_traffic=True), interface="eth0").user == sniffer
    assert launched(Engine(reads_traffic=True)).user == USER
    assert launched(Engine(reads_traffic=False), interface="eth0").user == USER
    assert launched(CommandEngine(("true",)), interface="eth0").user == USER
    assert LaunchDefaults(Engine(reads_traffic=True)).launch(NodeConfig("a", interface="eth0"), CONTEXT).user is None


def test_variables_tell_who_the_node_is() -> None:
    env = launched(CommandEngine(("true",)), env={"HOME": "/own"}).env
    assert (env["HOME"], env["USER"], env["LOGNAME"], env["A"]) == ("/own", "nobody", "nobody", "b")
    assert LaunchDefaults(CommandEngine(("true",))).launch(NodeConfig("a"), CONTEXT).env == CONTEXT.environment


# --- acting as another user


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory of the user, in one to which it can go, and beside a file that it cannot read."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="zeekfleet-") as name:
        top = Path(name)
        top.chmod(0o755)
        (top / "precious").write_text("secret")
        (top / "precious").chmod(0o600)
        (top / "theirs").mkdir(mode=0o700)
        os.chown(top / "theirs", NOBODY, NOBODY)
        yield top / "theirs"
        assert (top / "precious").read_text() == "secret"
        assert sorted(path.name for path in top.iterdir()) == ["precious", "theirs"]


@as_root
def test_only_files_and_only_of_this_thread_are_concerned(place: Path) -> None:
    precious = place.with_name("precious")
    elsewhere: list[str] = []
    acting = threading.Event()
    other = threading.Thread(target=lambda: elsewhere.append(precious.read_text()) if acting.wait(60) else None)
    other.start()
    with acting_as(USER):
        with pytest.raises(PermissionError):
            precious.read_text()
        (place / "made").touch()
        acting.set()
        other.join()
        assert os.geteuid() == 0
    assert elsewhere == ["secret"]
    assert precious.read_text() == "secret"
    assert (place / "made").stat().st_uid == NOBODY
    with acting_as(None), acting_as_owner(place.parent):
        assert precious.read_text() == "secret"


@as_root
def test_what_is_not_possible_is_not_done_as_root(place: Path) -> None:
    with pytest.raises(PermissionError, match="is not possible"), acting_as(Account(2**32 - 1, NOBODY)):
        pytest.fail("root went on")
    assert place.with_name("precious").read_text() == "secret"


@as_root
@pytest.mark.parametrize("name", [STATUS_FILE, "mailbox/requests", ".hold"])
@pytest.mark.parametrize("lay", [lambda at, to: at.symlink_to(to), lambda at, to: os.mkfifo(at)], ids=["link", "pipe"])
async def test_an_agent_is_not_led_astray(place: Path, name: str, lay: Callable[[Path, Path], None]) -> None:
    precious = place.with_name("precious")
    precious.write_text("RUNNING")
    (place / "mailbox").mkdir()
    os.chown(place / "mailbox", NOBODY, NOBODY)
    lay(place / name, precious)
    try:
        assert not says_running(place)
        boxes = Mailboxes()
        boxes.follow({"a": place / "mailbox"})
        boxes.send("id", ("ping",), "a")
        boxes.close()
        assert '"reqid":"id"' in (place / "mailbox" / "requests").read_text()
        assert (place / "mailbox" / "requests").lstat().st_uid == NOBODY
        start_barrier.release(place)
        if name == ".hold":
            (place / name).unlink(missing_ok=True)
        start_barrier.block(place)
        assert (place / ".hold").lstat().st_uid == NOBODY
        start_barrier.release(place)
    finally:
        precious.write_text("secret")


@as_root
@pytest.mark.parametrize("lay", [lambda at, to: at.symlink_to(to), lambda at, to: os.mkfifo(at)], ids=["link", "pipe"])
async def test_answers_that_are_traps_are_passed_by(
    place: Path, lay: Callable[[Path, Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    precious = place.with_name("precious")
    box = place / "mailbox"
    box.mkdir()
    os.chown(box, NOBODY, NOBODY)
    lay(box / "1.json", precious)
    boxes = Mailboxes()
    boxes.follow({"a": box})
    boxes.close()
    assert "mailbox of node a:" in caplog.text


# --- checks


@as_root
async def test_a_check_sees_what_the_user_sees(place: Path) -> None:
    scripts = tuple(str(path) for path in (place.with_name("precious"), place / "made.zeek"))
    (place / "made.zeek").touch()
    os.chown(place / "made.zeek", NOBODY, NOBODY)
    place.with_name("precious").chmod(0o644)
    hidden = place.with_name("theirs") / "hidden"
    hidden.mkdir(mode=0o700)
    (hidden / "script.zeek").touch()
    config = NodeConfig("a", addl_user_scripts=(*scripts, str(hidden / "script.zeek")))
    for user, expected in ((USER, 1), (None, 0)):
        context = msgspec.structs.replace(CONTEXT, directory=str(place), user=user)
        problems = await SimulatorEngine().check(config, context, place)
        assert len(problems) == expected, problems


@as_root
def test_a_check_knows_which_ports_the_user_cannot_have() -> None:
    needs = [Needs("w", listeners=(Listener("port", "127.0.0.1", 1),))]
    assert gather(needs, frozenset(), None).ports == {}
    limited = gather(needs, frozenset(), None, frozenset(node_user.FOR_TRAFFIC))
    assert limited.ports["127.0.0.1", 1].reason == "cannot be listened on: Permission denied"
    assert limited.capabilities == {"CAP_NET_ADMIN", "CAP_NET_RAW"}


# --- rotated logs


@as_root
@pytest.mark.parametrize("form", [Compression.GZIP, Compression.NONE])
def test_logs_of_another_user_are_archived_as_ours(place: Path, form: Compression) -> None:
    log = place / CONN
    log.write_text("content")
    os.chown(log, NOBODY, NOBODY)
    log.chmod(0o666)
    logs = place / "logs"
    logs.mkdir(mode=0o700)
    rotated = parse_rotated(CONN)
    assert rotated is not None
    assert ArchiveWriter(place, logs, form).put(CONN, rotated) is Outcome.ARCHIVED
    assert not log.exists()
    (archived,) = logs.rglob("conn*")
    found = archived.stat()
    assert (found.st_uid, found.st_mode & 0o777) == (0, 0o644)  # nobody keeps it open to change it


@as_root
@pytest.mark.parametrize("form", [Compression.GZIP, Compression.NONE])
@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_links_among_rotated_logs_are_not_archived(
    place: Path, form: Compression, link: Callable[[Path, Path], None]
) -> None:
    link(place / CONN, place.with_name("precious"))
    rotated = parse_rotated(CONN)
    assert rotated is not None
    with pytest.raises(OSError, match=r"symbolic links|another name"):
        ArchiveWriter(place, place / "logs", form).put(CONN, rotated)
    assert not (place / "logs").exists()


# --- directories of daemons


@as_root
def test_files_of_nodes_make_no_daemons(tmp_path: Path) -> None:
    for name, uid in (("controller", 0), ("node", NOBODY)):
        directory = tmp_path / "nodes" / name
        directory.mkdir(parents=True)
        (directory / LOCK).touch()
        os.chown(directory, uid, uid)
    (tmp_path / "nodes" / "link").symlink_to("node")
    assert daemon_directories(tmp_path, LOCK) == [tmp_path / "nodes" / "controller"]


# --- letting the user in


@as_root
def test_directories_of_ours_become_passable_for_the_group_alone(place: Path) -> None:
    ours = place.with_name("theirs") / "ours"
    ours.mkdir(mode=0o700)
    node_user.open_to_group(ours, USER)
    found = ours.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (0, NOBODY, 0o710)
    ours.chmod(0o711)
    os.chown(ours, 0, 0)
    node_user.open_to_group(ours, USER)  # the user can go there already
    found = ours.stat()
    assert (found.st_gid, found.st_mode & 0o777) == (0, 0o711)


@as_root
def test_a_place_out_of_reach_is_named_with_the_directory_in_the_way(place: Path) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    program = closed / "bin" / "program"
    program.parent.mkdir()
    program.touch()
    (place / "link").symlink_to(program)
    for way in (program, place / "link"):
        with pytest.raises(SettingsError) as caught:
            node_user.check_reach(USER, (place, way))
        assert f"cannot enter directory {closed}, where its nodes need {way}: run 'chmod o+x {closed}'" in str(
            caught.value
        )
    closed.chmod(0o711)
    program.parent.chmod(0o711)
    node_user.check_reach(USER, (program, place / "link"))
