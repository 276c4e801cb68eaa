"""A disk that fills up below a whole tree: nothing dies, nothing is lost, and it works again once there is room."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from pathlib import Path

import psutil
import pytest
from trees import INSTANCE, Tree, cluster, node

from support.daemons import DaemonEndedError, processes_mentioning, wait_for_end_of
from support.waiting import until
from zeekfleet.broker.events.agent import NotifyError, NotifyLog
from zeekfleet.client.link import Link
from zeekfleet.model.enums import Role, State
from zeekfleet.model.management import Configuration

FIRST = cluster(node("w1"), node("w2"), name="first")
SECOND = cluster(node("w1"), node("w2"), node("w3"), name="second")


class Ballast:
    """Fills a disk to its last byte, and its last file; can be thrown out."""

    def __init__(self, disk: Path) -> None:
        self._directory = disk / "ballast"
        self._directory.mkdir()

    def fill(self, files: bool) -> None:
        with contextlib.suppress(OSError), (self._directory / "bytes").open("ab", buffering=0) as file:
            while True:
                file.write(bytes(65536))
        number = 0
        with contextlib.suppress(OSError):
            while files:
                (self._directory / str(number)).touch()
                number += 1

    def give_back(self, size: int) -> None:
        """Leave room for so many bytes: for a line in a log, but too little to count as room."""
        file = self._directory / "bytes"
        os.truncate(file, file.stat().st_size - size)

    def throw_out(self) -> None:
        for path in self._directory.iterdir():
            path.unlink()


def refused(tree: Tree, link: Link, what: Configuration | None = None) -> None:
    """A request that would change something is refused in one sentence; what is deployed stays so."""
    results = tree.stage(link, what) if what is not None else tree.deploy(link)
    assert [result.success for result in results] == [False]
    sentence = results[0].error or ""
    assert sentence.startswith(f"no space left in directory {tree.state}/nodes/controller: ")
    assert "\n" not in sentence


def replaced(tree: Tree, link: Link, name: str, former: int) -> int:
    """The pid of a node that has taken the place of another process, and has said hello."""
    found = tree.when(link, lambda now: now[name].state is State.RUNNING and now[name].pid not in (None, former))
    return found[name].pid or 0


@pytest.mark.parametrize(
    "files",
    [pytest.param(False, id="no bytes left"), pytest.param(True, id="no files left", marks=pytest.mark.long)],
)
def test_full_below_a_running_tree(tmp_path: Path, small_disk: Path, files: bool) -> None:
    with Tree(tmp_path, disk=small_disk) as tree, tree.link() as link:
        tree.when(link, lambda found: INSTANCE in found)
        pids = tree.deployed(link, FIRST)
        daemons = {tree.stem.pid, tree.pid_of_role(link, Role.AGENT), tree.pid_of_role(link, Role.CONTROLLER)}
        ballast = Ballast(small_disk)
        ballast.fill(files)

        # Read-only, and the alarm is given: by event, and in the daemons' logs where they can be written.
        refused(tree, link, SECOND)
        refused(tree, link)
        alarm = tree.hears(link, lambda event: isinstance(event, NotifyError) and "no space left" in event.msg)
        assert isinstance(alarm, NotifyError)
        assert alarm.msg.startswith(f"no space left in directory {tree.state}: ")
        assert tree.running(link, *pids) == pids
        for deployed in (False, True):
            configuration = tree.configuration(link, deployed)
            assert configuration is not None
            assert configuration.id == FIRST.id
        code, out, err = tree.command("get-nodes")
        assert code == 0, err
        assert "w1" in out

        # A node that dies now is told, and starts again.
        os.kill(pids["w1"], signal.SIGKILL)
        pids["w1"] = replaced(tree, link, "w1", pids["w1"])
        assert tree.status()["w1"]["restarts"] == 1
        assert tree.running(link, *pids) == pids
        assert all(psutil.pid_exists(pid) for pid in daemons)

        # The controller gives its own alarm, after its own look. A management log that is full keeps that line, and
        # writes it with the next one.
        ballast.give_back(65536)
        log = tree.state / "nodes" / "controller" / "management-controller.log"

        def controller_has_told() -> bool:
            tree.deploy(link)
            return "\tERROR\tCONTROLLER\tno space left in directory" in log.read_text()

        until(controller_has_told, "the controller gives the alarm")

        # With room again all is well by itself.
        ballast.throw_out()
        relief = tree.hears(link, lambda event: isinstance(event, NotifyLog) and "there is room" in event.msg)
        assert isinstance(relief, NotifyLog)
        assert tree.configuration(link) == configuration
        after = tree.deployed(link, SECOND)
        assert {*after} == {"manager", "w1", "w2", "w3"}
        assert all(psutil.pid_exists(pid) for pid in daemons)
        reports = tree.state / "crashes"
        assert not list(reports.glob("*/.*")), "a report was left unfinished"
        os.kill(after["w2"], signal.SIGKILL)
        replaced(tree, link, "w2", after["w2"])
        until(lambda: list(reports.glob("w2/2*/summary")), "crashes are reported again")


def test_every_daemon_killed_while_the_disk_is_full(tmp_path: Path, small_disk: Path) -> None:
    options = ("--revival-loop-limit", "1000", "--revival-initial-delay", "0", "--revival-max-delay", "0")
    with Tree(tmp_path, *options, disk=small_disk) as tree:
        with tree.link() as link:
            tree.when(link, lambda found: INSTANCE in found)
            pids = tree.deployed(link, FIRST)
            with (tree.state / "stem" / "launches").open("ab") as launches:
                launches.write(b'{"version":3,"spec":{"na')  # the disk was full in the middle of a line
            ballast = Ballast(small_disk)
            ballast.fill(files=False)
            controller, agent = tree.pid_of_role(link, Role.CONTROLLER), tree.pid_of_role(link, Role.AGENT)
            stem = tree.stem.pid
            # More than the last page of the stem's journal has room for: how it is found all the same shows below.
            journal = tree.state / "stem" / "processes"
            for _ in range(50):
                ballast.fill(files=False)
                os.kill(pids["w1"], signal.SIGKILL)
                pids["w1"] = replaced(tree, link, "w1", pids["w1"])
                if f'"pid":{pids["w1"]},' not in journal.read_text():
                    break
            else:
                raise AssertionError("there was room for the journal all the time")
        for pid in (stem, controller, agent):
            os.kill(pid, signal.SIGKILL)
            assert wait_for_end_of(pid)
        with tree.link() as link:
            found = tree.when(
                link,
                lambda now: (
                    {INSTANCE, "controller", *pids} <= now.keys()
                    and all(now[name].state is State.RUNNING for name in (INSTANCE, "controller", *pids))
                ),
            )
            assert {name: found[name].pid for name in pids} == pids
            assert tree.stem.pid != stem
            refused(tree, link, SECOND)
            ballast.throw_out()
            until(lambda: all(result.success for result in tree.stage(link, SECOND)), "it can be staged again")
            assert {*tree.deployed(link, SECOND)} == {"manager", "w1", "w2", "w3"}


def test_the_tree_itself_started_again_while_the_disk_is_full(tmp_path: Path, small_disk: Path) -> None:
    with Tree(tmp_path / "1", disk=small_disk) as tree:
        with tree.link() as link:
            tree.when(link, lambda found: INSTANCE in found)
            pids = tree.deployed(link, FIRST)
        ballast = Ballast(small_disk)
        ballast.fill(files=False)
        tree.daemon.kill()
        with tree.again() as second, second.link() as link:
            assert second.running(link, *pids) == pids
            refused(second, link, SECOND)
            ballast.throw_out()
            assert {*second.deployed(link, SECOND)} == {"manager", "w1", "w2", "w3"}
    assert processes_mentioning(str(small_disk)) == {}


def test_a_host_without_room_is_found_before_anything_is_stopped(tmp_path: Path, small_disk: Path) -> None:
    """Where the controller's disk has room and the agent's has none."""
    with Tree(tmp_path, disk=small_disk, apart=True) as tree, tree.link() as link:
        tree.when(link, lambda found: INSTANCE in found)
        pids = tree.deployed(link, FIRST)
        ballast = Ballast(small_disk)
        ballast.fill(files=False)
        results = tree.deploy(link, SECOND)
        assert [(result.success, result.error) for result in results] == [
            (False, f"instance '{INSTANCE}': no space left in directory {tree.state}"),
            (False, f"instance '{INSTANCE}': no space left in directory {tree.spool}"),
        ]
        assert tree.running(link, *pids) == pids
        ballast.throw_out()
        assert {*tree.deployed(link, SECOND)} == {"manager", "w1", "w2", "w3"}


def test_a_tree_that_finds_no_room_at_its_start_says_so(tmp_path: Path, small_disk: Path) -> None:
    ballast = Ballast(small_disk)
    ballast.fill(files=False)
    tree = Tree(tmp_path, disk=small_disk)
    sentence = f"error: directory {re.escape(str(tree.state))}/nodes/\\w+ cannot be used: No space left on device"
    with pytest.raises(DaemonEndedError, match=sentence), tree:
        raise AssertionError("it serves")
    ballast.throw_out()
    with tree.again() as second, second.link() as link:
        second.when(link, lambda found: INSTANCE in found)
