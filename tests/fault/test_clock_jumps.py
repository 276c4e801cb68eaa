"""The wall clock is set an hour on, or back, below a whole tree: nothing but what it shows changes."""

from __future__ import annotations

import os
import re
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
import trustme
from clock import Clock
from trees import INSTANCE, Tree, cluster, node

from support.certificates import write
from support.daemons import wait_for_end_of
from support.waiting import until
from zeekfleet.broker.events.agent import NotifyChange, NotifyError
from zeekfleet.client.tls import TlsSettings, client_context
from zeekfleet.model.enums import Role, State

HOUR = 3600
FIRST = cluster(node("w1"), node("w2"), name="first")
SECOND = cluster(node("w1"), node("w2"), node("w3"), name="second")
STAMP = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)", re.MULTILINE)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


def shows(log: str, offset: int, local: bool = False) -> bool:
    """Whether the last line of a log was written when the clock was off by so much, give or take some minutes."""
    stamp = datetime.fromisoformat(STAMP.findall(log)[-1])
    written = stamp.astimezone(UTC) if local else stamp.replace(tzinfo=UTC)
    return abs((written - datetime.now(UTC)).total_seconds() - offset) < HOUR / 4


@pytest.mark.parametrize(
    "offset", [pytest.param(HOUR, id="an hour on", marks=pytest.mark.long), pytest.param(-HOUR, id="an hour back")]
)
def test_nothing_restarts_and_all_goes_on(tmp_path: Path, clock: Clock, offset: int) -> None:
    options = ("--health-interval", "0.2", "--health-misses", "2", "--start-limit", "5", "--grace", "0.3")
    with Tree(tmp_path, *options, environment=clock.environment) as tree, tree.link() as link:
        tree.when(link, lambda found: INSTANCE in found)
        pids = tree.deployed(link, FIRST)
        roles = {role: tree.pid_of_role(link, role) for role in (Role.AGENT, Role.CONTROLLER)}
        everyone = {tree.daemon.pid, tree.stem.pid, *roles.values(), *pids.values()}
        assert all(clock.is_in(pid) for pid in everyone)
        tree.heard.clear()

        clock.set(offset)
        quiet_until = time.monotonic() + 2  # what is measured is this time: ten health checks
        while (rest := quiet_until - time.monotonic()) > 0:
            if (received := link.receive(rest)) is not None:
                tree.heard.append(received[1])
        assert [event for event in tree.heard if isinstance(event, NotifyChange | NotifyError)] == []
        assert tree.running(link, *pids) == pids
        assert {role: tree.pid_of_role(link, role) for role in roles} == roles
        assert all(psutil.pid_exists(pid) for pid in everyone)

        # Deployments and health checks go on: one that is deaf from now on is replaced.
        after = tree.deployed(link, SECOND)
        assert {*after} == {"manager", "w1", "w2", "w3"}
        for name in ("controller", INSTANCE):
            assert shows(tree.log_of(name), offset)
        os.kill(after["w3"], signal.SIGSTOP)
        found = tree.when(
            link, lambda now: now["w3"].state is State.RUNNING and now["w3"].pid not in (None, after["w3"])
        )
        after["w3"] = found["w3"].pid or 0
        assert tree.running(link, *after) == after
        shown = tree.status()
        assert all(abs(time.time() + offset - float(shown[name]["since"])) < HOUR / 4 for name in after)

        # Who was started before the clock was set is found again after it.
        stem = tree.stem
        stem.kill()
        assert wait_for_end_of(stem.pid)
        until(lambda: tree.log_of("stem").count("found running") >= len(after) + len(roles), "the nodes are found")
        assert shows(tree.log_of("stem"), offset, local=True)
        assert clock.is_in(tree.stem.pid)
        assert tree.running(link, *after) == after
        os.kill(after["w1"], signal.SIGKILL)
        tree.when(link, lambda now: now["w1"].state is State.RUNNING and now["w1"].pid not in (None, after["w1"]))
        until(lambda: "node 'w1' was killed" in tree.daemon.stderr, "its end is logged")
        assert shows(tree.daemon.stderr, offset)

        # And back to the right time.
        clock.set(0)
        third = tree.deployed(link, FIRST)
        assert {*third} == {"manager", "w1", "w2"}
        assert {role: tree.pid_of_role(link, role) for role in roles} == roles


def test_a_crash_is_reported_though_the_earlier_ones_are_of_a_later_time(tmp_path: Path, clock: Clock) -> None:
    with Tree(tmp_path, "--crash-reports", "2", environment=clock.environment) as tree, tree.link() as link:
        clock.set(HOUR)
        tree.when(link, lambda found: INSTANCE in found)
        pid = tree.deployed(link, cluster(node("w1")))["w1"]
        for number, offset in enumerate((HOUR, HOUR, 0)):
            clock.set(offset)
            former = pid
            os.kill(former, signal.SIGKILL)
            found = tree.when(link, lambda now, gone=former: now["w1"].pid not in (None, gone))  # type: ignore[misc]
            pid = found["w1"].pid or 0
            until(lambda wanted=number + 1: len(ends(tree)) == wanted, "its end is told")  # type: ignore[misc]
            path = tree.state / "crashes" / "w1" / ends(tree)[-1]
            assert (path / "report.json").is_file()
            code, out, _ = tree.command("diag", "w1")
            assert code == 0
            assert str(path) in out


def ends(tree: Tree) -> list[str]:
    """The directories of the reports that the agent has told of."""
    return re.findall(r"report in \S+/crashes/w1/(\S+)", tree.log_of(INSTANCE))


class Papers:
    """An authority, and a certificate for each side that is good for half an hour to either side of now."""

    def __init__(self, directory: Path, short: str) -> None:
        self.authority = directory / "authority.pem"
        self.server, self.client = directory / "server.pem", directory / "client.pem"
        authority = trustme.CA()
        write(authority.cert_pem, self.authority)
        now = datetime.now(UTC)
        for name, file, wide in (("127.0.0.1", self.server, 24), ("client.example", self.client, 24)):
            span = timedelta(minutes=30) if file.stem == short else timedelta(hours=wide)
            issued = authority.issue_cert(name, not_before=now - span, not_after=now + span)
            write(issued.private_key_and_cert_chain_pem, file)

    def arguments(self) -> list[str]:
        """The client's settings."""
        settings = ("ssl.enable=yes", f"ssl.certificate={self.client}", f"ssl.cafile={self.authority}")
        return [word for setting in (*settings, "client.peering_attempts=2") for word in ("--set", setting)]


@pytest.fixture(params=["server", "client"])
def short(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(
    "offset", [pytest.param(HOUR, id="an hour on"), pytest.param(-HOUR, id="an hour back", marks=pytest.mark.long)]
)
def test_a_certificate_that_is_not_valid_any_more_is_named(
    tmp_path: Path, clock: Clock, short: str, offset: int
) -> None:
    papers = Papers(tmp_path, short)
    options = ("--tls-certificate", str(papers.server), "--tls-ca", str(papers.authority))
    context = client_context(TlsSettings(str(papers.client), cafile=str(papers.authority)))
    with Tree(tmp_path, *options, environment=clock.environment, tls=context) as tree:
        arguments = papers.arguments()
        code, _, err = tree.command(*arguments, "get-nodes", environment=clock.environment)
        assert code == 0, err
        clock.set(offset)
        code, out, err = tree.command(*arguments, "get-nodes", environment=clock.environment)
        assert (code, out) == (1, "")
        assert err.count("\n") == 1
        file = papers.server if short == "server" else papers.client
        name = f"the certificate of 127.0.0.1:{tree.clients}" if short == "server" else f"certificate {file}"
        when = "has expired on" if offset > 0 else "is not valid before"
        assert f"{name} {when} 20" in err, err
        if short == "server":
            assert f"certificate {file} {when} 20" in tree.log_of("controller")
        else:
            word = "certificate has expired" if offset > 0 else "certificate is not yet valid"
            assert f"refused a client because of its certificate: {word}" in tree.log_of("controller")
        # Nobody has to do anything once the clock is right.
        clock.set(0)
        code, _, err = tree.command(*arguments, "get-nodes", environment=clock.environment)
        assert code == 0, err
