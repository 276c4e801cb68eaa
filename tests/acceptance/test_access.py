"""Who is served at which listener of a whole tree: users by the owner of their socket; and no web page."""

from __future__ import annotations

import base64
import functools
import grp
import hashlib
import os
import pwd
import re
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fleet import Fleet, ini, node
from processes import Daemon
from users import act_as

from support.waiting import PATIENCE
from zeekfleet.security.access import AccessControl, SocketOwner
from zeekfleet.security.users import ServedUsers
from zeekfleet.security.web_pages import own_names
from zeekfleet.system.socket_owners import Ends, SocketOwners

STRANGER = 65534
ALLOWED = 65533

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as other users")


def member() -> tuple[int, str] | None:
    """A user of this host that is not root, and a group that it is in."""
    for user in pwd.getpwall():
        if user.pw_uid not in (0, STRANGER, ALLOWED):
            return user.pw_uid, grp.getgrgid(user.pw_gid).gr_name
    return None


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Fleet, Daemon, dict[str, int]]]:
    """A tree, and its TCP listeners' ports."""
    fleet = Fleet(tmp_path_factory.mktemp("f"))
    try:
        someone = member()
        options = {"allow_group": someone[1]} if someone else {}
        daemon = fleet.start_up(allow_user=str(ALLOWED), **options)
        line = next(line for line in str(daemon.out).splitlines() if line.startswith("ready: "))
        ports = {
            name: int(port) for name, port in re.findall(r"(clients|agents|here|supervisor) 127\.0\.0\.1:(\d+)", line)
        }
        assert set(ports) == {"clients", "agents", "here", "supervisor"}, line
        fleet.wait_for_instances("here")
        yield fleet, daemon, ports
    finally:
        fleet.stop()


def upgrade(port: int, **headers: str) -> str:
    given = {
        "Host": f"127.0.0.1:{port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        **headers,
    }
    return "\r\n".join(["GET /v1/messages/json HTTP/1.1", *(f"{key}: {value}" for key, value in given.items()), "", ""])


def ask(port: int, user: int, *, fake_root: bool = False) -> str:
    """The status line that a process of that user gets."""

    def action() -> str:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
            connection.sendall(upgrade(port).encode())
            return connection.recv(12).decode()

    return act_as(user, action, fake_root=fake_root)


def test_users_at_every_port(tree: tuple[Fleet, Daemon, dict[str, int]]) -> None:
    fleet, daemon, ports = tree
    someone = member()
    for name, port in ports.items():
        assert ask(port, 0) == "HTTP/1.1 101", name
        assert ask(port, ALLOWED) == "HTTP/1.1 101", name
        assert ask(port, STRANGER) == "HTTP/1.1 403", name
        if someone is not None:
            assert ask(port, someone[0]) == "HTTP/1.1 101", name
    told = rf"refused a connection of user \S* ?\(?{STRANGER}\)?, program \S*python"
    assert daemon.log.wait_for("refused a connection")
    assert re.search(told, str(daemon.log))
    for part in ("controller", "here"):
        assert re.search(told, (fleet.root / "up" / "nodes" / part / "stderr").read_text()), part


def test_the_root_of_a_user_namespace_is_who_made_it(tree: tuple[Fleet, Daemon, dict[str, int]]) -> None:
    for port in tree[2].values():
        try:
            assert ask(port, STRANGER, fake_root=True) == "HTTP/1.1 403"
        except PermissionError as error:
            pytest.skip(f"no user namespace can be made here: {error}")


def ask_at(socket_file: Path, user: int, *, fake_root: bool = False, own_network: bool = False) -> str:
    """The status line that a process of that user gets at a Unix socket."""

    def action() -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(socket_file))
            connection.sendall(upgrade(0, Host="localhost").encode())
            return connection.recv(12).decode()

    return act_as(user, action, fake_root=fake_root, own_network=own_network)


def test_sockets_are_in_nobody_elses_reach(tree: tuple[Fleet, Daemon, dict[str, int]]) -> None:
    """The directories' modes keep strangers away from the sockets, and the sockets tell whose a connection is."""
    state = tree[0].root / "up"
    for file in (state / "supervisor.sock", state / "nodes" / "here" / "agent.sock"):
        assert file.stat().st_mode & 0o777 == 0o600
        assert ask_at(file, 0) == "HTTP/1.1 101"
        for user in (STRANGER, ALLOWED):
            with pytest.raises(PermissionError):
                ask_at(file, user)
        try:
            assert ask_at(file, 0, own_network=True) == "HTTP/1.1 101"
        except PermissionError as error:
            pytest.skip(f"no network namespace can be made here: {error}")


def test_another_network_namespace_reaches_no_port(tree: tuple[Fleet, Daemon, dict[str, int]]) -> None:
    def action(port: int) -> str:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
                return connection.recv(12).decode()
        except OSError:
            return "out of reach"

    for port in tree[2].values():
        try:
            assert act_as(0, functools.partial(action, port), own_network=True) == "out of reach"
        except PermissionError as error:
            pytest.skip(f"no network namespace can be made here: {error}")


def test_the_daemons_own_user_is_served(new_fleet: Callable[[], Fleet]) -> None:
    """Whoever runs a daemon without being root uses it; another user does not, and root always does."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        owners = SocketOwners()

        def served_by(own_user: int, caller: int) -> str:
            control = AccessControl(ServedUsers(frozenset({own_user})), own_names(), owner)

            def connect() -> str:
                with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE):
                    accepted, _ = listening.accept()
                    with accepted:
                        return "no" if control.check(accepted).refusal else "yes"

            return act_as(caller, connect)

        def owner(connection: socket.socket) -> SocketOwner | None:
            found = owners.owner(Ends(connection.getpeername(), connection.getsockname()))
            return None if found is None else SocketOwner(found.uid)

        assert served_by(ALLOWED, ALLOWED) == "yes"
        assert served_by(ALLOWED, 0) == "yes"
        assert served_by(ALLOWED, STRANGER) == "no"


def test_an_agent_does_not_obey_who_has_taken_its_controllers_port(new_fleet: Callable[[], Fleet]) -> None:
    """The controller is down, and somebody else listens in its place."""
    fleet = new_fleet()

    def squat() -> str:
        with socket.create_server(("127.0.0.1", fleet.agent_port)) as listening:
            listening.settimeout(PATIENCE)
            connection, _ = listening.accept()
            with connection:
                connection.settimeout(PATIENCE)
                asked = connection.recv(65536).decode()
                key = re.search(r"(?i)sec-websocket-key: (\S+)", asked)
                assert key, asked
                digest = hashlib.sha1(key[1].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
                accept = base64.b64encode(digest).decode()
                head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                connection.sendall(f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
                try:
                    return f"heard {connection.recv(65536)!r}"
                except ConnectionError:
                    return "heard b''"

    with ThreadPoolExecutor(1) as threads:
        squatting = threads.submit(act_as, STRANGER, squat)
        agent = fleet.start_agent("a1")
        assert squatting.result(PATIENCE) == "heard b''"
    assert agent.log.wait_for("is not obeyed")
    assert re.search(rf"a program of user \S* ?\(?{STRANGER}\)?, \S+, listens there, and is not obeyed", str(agent.log))
    fleet.start_controller()
    fleet.wait_for_instances("a1")


def test_without_a_port_only_the_agent_reaches_the_supervisor(new_fleet: Callable[[], Fleet]) -> None:
    fleet = new_fleet()
    fleet.start_controller()
    agent = fleet.start_agent("a1", supervisor_port=None)
    fleet.wait_for_instances("a1")
    assert "supervisor" not in str(agent.out)
    fleet.deploy(ini(["a1"], {"m": node("a1", "manager")}))
    fleet.wait_for_states("RUNNING", "m")


def test_strangers_hold_nothing_up(tree: tuple[Fleet, Daemon, dict[str, int]]) -> None:
    """Whoever says nothing is answered all the same, and a crowd of such leaves room for others."""
    fleet, _, ports = tree

    def crowd() -> str:
        made = [socket.create_connection(("127.0.0.1", ports["clients"]), timeout=PATIENCE) for _ in range(500)]
        return made[0].recv(12).decode()

    assert act_as(STRANGER, crowd) == "HTTP/1.1 403"
    assert fleet.client("get-instances").json == {"here": {"host": "127.0.0.1"}}
    lines = (fleet.root / "up" / "nodes" / "controller" / "stderr").read_text().splitlines()
    assert sum("refused a connection" in line for line in lines) < 10


@pytest.mark.parametrize(
    ("headers", "served"),
    [
        ({}, True),
        ({"Origin": "http://127.0.0.1:{port}"}, True),  # zeek-client's
        ({"Host": "localhost:{port}", "Origin": "http://localhost:{port}"}, True),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://127.0.0.1:8000"}, False),
        ({"Origin": "null"}, False),
        ({"Host": "evil.example:{port}"}, False),
        ({"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}"}, False),
    ],
)
def test_web_pages_at_every_port(
    tree: tuple[Fleet, Daemon, dict[str, int]], headers: dict[str, str], served: bool
) -> None:
    _, _, ports = tree
    for name, port in ports.items():
        given = {key: value.format(port=port) for key, value in headers.items()}
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
            connection.sendall(upgrade(port, **given).encode())
            assert connection.recv(12) == (b"HTTP/1.1 101" if served else b"HTTP/1.1 403"), name
