"""What keeps a daemon from serving: one sentence that names file, key or port, exit code 1, the old state untouched."""

from __future__ import annotations

import hashlib
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from support.daemons import Daemon, clean_environment, processes_mentioning
from support.other_user import NOBODY, as_user, within_reach
from support.ports import free_ports

INI = "[manager]\nrole = manager\n"


def refused(
    directory: Path,
    *arguments: str,
    naming: tuple[str, ...],
    environment: dict[str, str] | None = None,
    command: tuple[str, ...] = (sys.executable, "-m", "zeekfleet"),
) -> str:
    """Run a daemon that cannot come up; what it says on stderr."""
    with Daemon(directory / "output", *arguments, environment=environment, command=command) as daemon:
        code = daemon.wait()
    told = daemon.stderr
    errors = [line for line in told.splitlines() if line.startswith("error: ")]
    assert code == 1, told
    assert "Traceback" not in told, told
    assert len(errors) == 1, told
    assert told.splitlines()[-1] == errors[0], told
    for word in naming:
        assert word in errors[0], told
    assert "ready:" not in daemon.stdout
    assert processes_mentioning(str(directory)) == {}
    return told


class Site:
    """Where the daemons of one test live."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clients, self.agents = free_ports(2)
        self.state = root / "state"
        self.spool = root / "spool"

    @property
    def places(self) -> tuple[str, ...]:
        return ("--state-dir", str(self.state), "--spool-dir", str(self.spool))

    @property
    def controller(self) -> tuple[str, ...]:
        ports = ("--websocket-port", str(self.clients), "--port", str(self.agents))
        return ("controller", "--name", "c", *self.places, *ports)

    @property
    def agent(self) -> tuple[str, ...]:
        links = ("--controller", f"127.0.0.1:{self.agents}", "--port", "0", "--supervisor-port", "0")
        return ("agent", "--name", "a", *self.places, *links, "--engine", "sim")

    @property
    def up(self) -> tuple[str, ...]:
        names = ("--controller-name", "c", "--agent-name", "a")
        ports = ("--websocket-port", str(self.clients), "--controller-port", str(self.agents), "--agent-port", "0")
        links = ("--controller", f"127.0.0.1:{self.agents}", "--supervisor-port", "0", "--engine", "sim")
        return ("up", *names, *self.places, *ports, *links)

    @property
    def database(self) -> Path:
        return self.state / "nodes" / "c" / "controller.sqlite"

    def command(self, verb: str) -> tuple[str, ...]:
        return {"controller": self.controller, "agent": self.agent, "up": self.up}[verb]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def contents(directory: Path) -> dict[str, str]:
    """Digests of all files that hold state: locks, logs, output and reports of crashes do not."""
    passing = ("daemon.lock", "stdout", "stderr", "settings.json", ".zeekfleet-node.json")
    return {
        str(file.relative_to(directory)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(directory.rglob("*"))
        if file.is_file()
        and directory / "crashes" not in file.parents
        and file.name not in passing
        and not file.name.startswith(("management-", "stem."))
    }


DAEMONS = pytest.mark.parametrize("verb", ["controller", "agent", "up"])


@DAEMONS
def test_a_state_directory_that_others_may_write(site: Site, verb: str) -> None:
    site.state.mkdir()
    site.state.chmod(0o777)
    naming = (str(site.state), "it can be written by other users", f"chmod go-w {site.state}")
    refused(site.root, *site.command(verb), naming=naming)
    assert not any(site.state.iterdir())


@DAEMONS
def test_a_symbolic_link_in_the_state_directory(site: Site, verb: str) -> None:
    (site.root / "elsewhere").mkdir()
    site.state.mkdir(mode=0o700)
    (site.state / "nodes").symlink_to(site.root / "elsewhere")
    refused(site.root, *site.command(verb), naming=(str(site.state / "nodes"), "it is a symbolic link"))
    assert not any((site.root / "elsewhere").iterdir())


@pytest.mark.parametrize("verb", ["agent", "up"])
def test_nodes_as_a_user_that_does_not_exist(site: Site, verb: str) -> None:
    naming = ("supervisor.node_user", "there is no user 'no such one'")
    refused(site.root, *site.command(verb), "--node-user", "no such one", naming=naming)
    assert not site.state.exists()


@pytest.mark.skipif(within_reach() is None, reason="no other user can run our interpreter")
def test_nodes_as_another_user_without_root() -> None:
    command = (*as_user(NOBODY), sys.executable, "-m", "zeekfleet")
    naming = ("supervisor.node_user", "only root can run nodes as another user")
    with tempfile.TemporaryDirectory(prefix="zeekfleet-") as directory:
        Path(directory).chmod(0o755)  # to where pytest has its directories, that user does not come
        site = Site(Path(directory))
        refused(site.root, *site.agent, "--node-user", "root", naming=naming, command=command)
        assert not site.state.exists()


@pytest.mark.skipif(within_reach() is None, reason="no other user can run our interpreter")
def test_nodes_as_a_user_that_cannot_come_here(site: Site) -> None:
    site.root.chmod(0o700)
    command = (*(within_reach() or ()), sys.executable, "-m", "zeekfleet")
    naming = ("supervisor.node_user", "cannot enter directory /", "chmod o+x")
    refused(site.root, *site.agent, "--node-user", str(NOBODY), "--node-group", "1", naming=naming, command=command)
    assert not any((site.state / "nodes").iterdir())


@DAEMONS
def test_settings_file_that_is_no_toml(site: Site, verb: str) -> None:
    file = site.root / "settings.toml"
    file.write_bytes(b"[controller\n")
    refused(site.root, verb, "--settings", str(file), naming=(str(file), "is not TOML", "line 1"))
    assert not site.state.exists()


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b"[nonsense]\n", "nonsense"),
        (b"controller = 5\n", "controller"),
        (b"[controller]\nprot = 5\n", "controller.prot"),
        (b"[common]\nframe_limit = 5\n", "common.frame_limit"),
        (b'[common]\nstate_dir = "a\\u0000b"\n', "common.state_dir"),
        (b"[common]\nconnect_retry = nan\n", "common.connect_retry"),
        (b'[common]\nlog_level = "loud"\n', "common.log_level"),
    ],
)
def test_bad_settings_file(site: Site, content: bytes, word: str) -> None:
    file = site.root / "settings.toml"
    file.write_bytes(content)
    refused(site.root, "controller", "--settings", str(file), naming=(str(file), word))
    assert not site.state.exists()


def test_missing_settings_file(site: Site) -> None:
    refused(site.root, "agent", "--settings", "nowhere.toml", naming=("nowhere.toml", "No such file"))


@pytest.mark.parametrize(
    ("verb", "option", "value", "words"),
    [
        ("controller", "--websocket-port", "70000", ("--websocket-port", "70000")),
        ("controller", "--request-timeout", "nan", ("--request-timeout", "nan")),
        ("controller", "--auto-assign-ports", "maybe", ("--auto-assign-ports", "maybe")),
        ("controller", "--name", "../c", ("controller.name", "../c")),
        ("controller", "--state-dir", "~nobody-by-that-name/x", ("--state-dir", "~nobody-by-that-name")),
        ("controller", "--tls-certificate", "nowhere.pem", ("controller.tls_certificate", "No such file")),
        ("agent", "--engine", "steam", ("--engine", "steam")),
        ("agent", "--controller", "somewhere:", ("agent.controller", "somewhere")),
        ("agent", "--controller", "127.0.0.1:0", ("agent.controller", "127.0.0.1:0")),
        ("agent", "--name", "a/b", ("agent.name", "a/b")),
        ("agent", "--name", "n" * 300, ("agent.name", "1 to 64")),
        ("agent", "--listen", "no such host", ("no such host",)),
        ("up", "--agent-name", "c", ("agent.name", "'c'")),
        ("up", "--controller-name", "..", ("controller.name", "'..'")),
        ("up", "--controller", "none:x:", ("agent.controller", "none:x:")),
    ],
)
def test_bad_option(site: Site, verb: str, option: str, value: str, words: tuple[str, ...]) -> None:
    refused(site.root, *site.command(verb), option, value, naming=words)


@pytest.mark.parametrize(
    ("verb", "variable", "value"),
    [
        ("controller", "ZEEK_CONTROLLER_WEBSOCKET_PORT", "-1"),
        ("agent", "ZEEK_AGENT_PORT", "2151/tcp"),
        ("up", "ZEEKFLEET_ENGINE", "steam"),
    ],
)
def test_bad_environment(site: Site, verb: str, variable: str, value: str) -> None:
    refused(site.root, verb, *site.places, naming=(variable, value), environment={variable: value})
    assert not site.state.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[manager\nrole = manager\n", ("cluster.ini",)),
        (b"[manager]\nrole = king\n", ("cluster.ini", "manager", "role", "king")),
        (b"[manager]\nrole = manager\nport = x\n", ("manager", "port", "x")),
        (b"\xff\xff", ("cluster.ini", "UTF-8")),
    ],
)
def test_bad_ini(site: Site, content: bytes, words: tuple[str, ...]) -> None:
    file = site.root / "cluster.ini"
    file.write_bytes(content)
    refused(site.root, *site.up, str(file), naming=words)
    assert not site.state.exists()


def test_missing_ini(site: Site) -> None:
    refused(site.root, *site.up, "nowhere.ini", naming=("nowhere.ini", "No such file"))
    assert not site.state.exists()


@DAEMONS
@pytest.mark.parametrize("place", ["below a file", "in /proc"])
def test_unwritable_state_directory(site: Site, verb: str, place: str) -> None:
    file = site.root / "file"
    file.write_text("here")
    state = str(file / "state") if place == "below a file" else "/proc/zeekfleet"
    refused(site.root, *site.command(verb), "--state-dir", state, naming=(state,))
    assert file.read_text() == "here"


@pytest.mark.parametrize("verb", ["agent", "up"])
def test_unwritable_spool_directory(site: Site, verb: str) -> None:
    refused(site.root, *site.command(verb), "--spool-dir", "/proc/zeekfleet", naming=("/proc/zeekfleet",))


def test_a_file_where_the_directory_of_a_role_should_be(site: Site) -> None:
    site.state.mkdir()
    (site.state / "nodes").write_text("here")
    refused(site.root, *site.up, naming=(str(site.state / "nodes"),))
    refused(site.root, *site.controller, naming=(str(site.state / "nodes"),))
    assert (site.state / "nodes").read_text() == "here"


def test_a_directory_where_a_log_should_be(site: Site) -> None:
    log = site.state / "nodes" / "c" / "management-c.log"
    log.mkdir(parents=True)
    for verb in ("controller", "up"):
        refused(site.root, *site.command(verb), naming=(str(log),))


@pytest.mark.parametrize(
    ("verb", "option"),
    [
        ("controller", "--websocket-port"),
        ("controller", "--port"),
        ("agent", "--port"),
        ("agent", "--supervisor-port"),
        pytest.param("up", "--websocket-port", marks=pytest.mark.long),
        ("up", "--controller-port"),
        ("up", "--agent-port"),
        pytest.param("up", "--supervisor-port", marks=pytest.mark.long),
    ],
)
def test_port_in_use(site: Site, verb: str, option: str) -> None:
    with Daemon(site.root, *site.controller) as earlier:
        earlier.ready()
    before = contents(site.state)
    assert "nodes/c/controller.sqlite" in before
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused(site.root, *site.command(verb), option, port, naming=(f":{port}", "in use"))
    assert contents(site.state) == before


def garbage(database: Path) -> None:
    database.write_bytes(os.urandom(8192))


def truncated(database: Path) -> None:
    database.write_bytes(database.read_bytes()[: database.stat().st_size // 2])


def empty(database: Path) -> None:
    database.write_bytes(b"")


def newer(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()


def foreign(database: Path) -> None:
    database.unlink()
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE something (value)")
    connection.close()


@pytest.mark.parametrize(
    ("verb", "damage"),
    [
        ("controller", garbage),
        ("controller", newer),
        ("up", garbage),
        *(pytest.param("controller", damage, marks=pytest.mark.long) for damage in (truncated, empty, foreign)),
        *(pytest.param("up", damage, marks=pytest.mark.long) for damage in (truncated, empty, newer, foreign)),
    ],
)
def test_database_that_cannot_be_used(site: Site, verb: str, damage: Callable[[Path], None]) -> None:
    with Daemon(site.root, *site.controller) as earlier:
        earlier.ready()
    former = site.database.read_bytes()
    damage(site.database)
    before = contents(site.state)
    kind, word = ("newer-version-999", "999") if damage is newer else ("damaged", "corrupt")
    told = refused(site.root, *site.command(verb), naming=(str(site.database), word, "set aside as", "empty one"))
    (aside,) = site.database.parent.glob(f"{site.database.name}.{kind}-*")
    assert f"set aside as {aside.name}, and" in told
    moved = {str(aside.relative_to(site.state)): before.pop("nodes/c/controller.sqlite")}
    # A tree's stem starts it again at once, with an empty one, until the tree has ended.
    after = {name: digest for name, digest in contents(site.state).items() if not is_new(name)}
    assert after == before | moved
    assert not site.database.exists() or verb == "up"

    with Daemon(site.root, *site.command(verb)) as second:
        second.ready()
        log = (site.database.parent / "management-c.log").read_text().splitlines()
        sentence = f"database {site.database} is empty, since the former one was set aside as {aside.name}:"
        assert [line for line in log if "\tERROR\t" in line and sentence in line]
        stderr = second.stderr if verb == "controller" else (site.database.parent / "stderr").read_text()
        assert sentence in stderr
        assert second.stop() == 0
    assert contents(site.state).items() >= moved.items()

    # Back to it, mended.
    site.database.unlink()
    aside.write_bytes(former)
    aside.rename(site.database)
    size = len(log)
    with Daemon(site.root, *site.command(verb)) as third:
        third.ready()
        assert third.stop() == 0
    assert "is empty" not in "".join((site.database.parent / "management-c.log").read_text().splitlines()[size + 1 :])


def is_new(name: str) -> bool:
    return name in {f"nodes/c/controller.sqlite{part}" for part in ("", "-wal", "-shm", ".new", ".new-journal")}


HOLDER = """
import os, sqlite3, sys
connection = sqlite3.connect(os.environ["DATABASE"], isolation_level=None)
connection.execute("PRAGMA journal_mode = DELETE")
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_database_that_only_cannot_be_opened_stays(site: Site) -> None:
    with Daemon(site.root, *site.controller) as earlier:
        earlier.ready()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"DATABASE": str(site.database)},
    ) as holder:  # fmt: skip
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        refused(site.root, *site.controller, naming=(str(site.database), "in use by another process"))
        garbage(site.database)  # which may be what the holder is half way through
        before = contents(site.state)
        refused(site.root, *site.controller, naming=(str(site.database), "set aside: another process uses it"))
        assert contents(site.state) == before
        holder.communicate(timeout=60)
    site.database.unlink()
    site.database.mkdir()
    refused(site.root, *site.controller, naming=(str(site.database), "Is a directory"))
    assert list(site.database.parent.glob("controller.sqlite*")) == [site.database]


@pytest.mark.parametrize(("first", "second"), [("controller", "controller"), ("agent", "agent"), ("up", "up")])
def test_two_daemons_on_one_state_directory(site: Site, first: str, second: str) -> None:
    with Daemon(site.root, *site.command(first)) as holder:
        holder.ready()
        other = Site(site.root)
        finished = subprocess.run(
            [sys.executable, "-m", "zeekfleet", *other.command(second)],
            capture_output=True, text=True, timeout=60, check=False, env=clean_environment(),
        )  # fmt: skip
        assert finished.returncode == 1
        assert finished.stderr.splitlines()[-1].startswith(f"error: directory {site.state}")
        assert f"another zeekfleet daemon holds it (pid {holder.pid})" in finished.stderr
        assert "Traceback" not in finished.stderr
        assert holder.alive
        assert holder.stop() == 0
    assert processes_mentioning(str(site.root)) == {}


def test_a_controller_beside_the_one_of_a_tree(site: Site) -> None:
    """They share the state directory, but each role's own directory has one holder."""
    with Daemon(site.root, *site.up) as tree:
        tree.ready()
        other = Site(site.root)
        finished = subprocess.run(
            [sys.executable, "-m", "zeekfleet", *other.controller],
            capture_output=True, text=True, timeout=60, check=False, env=clean_environment(),
        )  # fmt: skip
        assert finished.returncode == 1
        assert str(site.database.parent) in finished.stderr
        assert "another zeekfleet daemon holds it" in finished.stderr
        assert tree.stop() == 0


def test_two_supervisors_on_one_state_directory(site: Site) -> None:
    file = site.root / "nodes.toml"
    file.write_text('[[node]]\nname = "sleeper"\ncommand = ["sleep", "1000"]\n')
    arguments = ("supervise", str(file), "--state-dir", str(site.state))
    with Daemon(site.root / "first", *arguments) as holder:
        holder.ready()
        with Daemon(site.root / "second", *arguments) as other:
            assert other.wait() == 1
            assert f"another zeekfleet daemon holds it (pid {holder.pid})" in other.stderr
            assert "Traceback" not in other.stderr
        assert holder.stop() == 0
    assert processes_mentioning(str(site.root)) == {}


@pytest.mark.parametrize(
    ("content", "words"),
    [("[[node]\n", ("nodes.toml",)), ("[[node]]\nname = 5\n", ("nodes.toml", "name")), ("", ("nodes.toml",))],
)
def test_bad_file_of_nodes(site: Site, content: str, words: tuple[str, ...]) -> None:
    file = site.root / "nodes.toml"
    file.write_text(content)
    refused(site.root, "supervise", str(file), "--state-dir", str(site.state), naming=words)
    assert not site.state.exists()


def test_supervise_without_a_directory_for_its_state(site: Site) -> None:
    file = site.root / "nodes.toml"
    file.write_text('[[node]]\nname = "sleeper"\ncommand = ["sleep", "1000"]\n')
    refused(site.root, "supervise", str(file), "--state-dir", f"{file}/below", naming=(f"{file}/below",))
