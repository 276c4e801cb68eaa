"""Who is served at which listener of a whole tree: users by the owner of their socket; and no web page."""

from __future__ import annotations

import grp
import os
import pwd
import re
import socket
from collections.abc import Iterator

import pytest
from fleet import Fleet
from processes import Daemon
from users import act_as

from support.waiting import PATIENCE

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
