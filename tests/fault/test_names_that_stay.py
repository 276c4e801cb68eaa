"""Agent and controller of a state directory keep their names, whatever their host is called now."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from trees import Tree

from support.daemons import Daemon
from support.waiting import until
from zeekfleet.model.enums import Role, State

INI = "[manager]\nrole = manager\n\n[w1]\nrole = worker\ninterface = lo\n"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a host another name")


def up_on(host: str, tree: Tree, output: Path, *more: str) -> Daemon:
    """``zeekfleet up`` on a host of that name, as a container has one."""
    rename = ("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', host, sys.executable, "-m", "zeekfleet")
    places = ("--state-dir", str(tree.state), "--spool-dir", str(tree.spool), "--engine", "sim")
    ports = ("--websocket-port", str(tree.clients), "--port", str(tree.agents))
    free = ("--agent-port", "0", "--supervisor-port", "0", "--auto-assign-start-port", str(tree.first))
    return Daemon(output, "up", *more, *places, *ports, *free, command=rename)


@needs_root
def test_a_container_made_anew(tmp_path: Path) -> None:
    ini = tmp_path / "cluster.ini"
    ini.write_text(INI)
    tree = Tree(tmp_path)
    with up_on("before", tree, tmp_path / "first", str(ini)) as first, tree.link() as link:
        assert "agent agent-before" in first.ready()
        wanted = tree.when(link, lambda found: "w1" in found and found["w1"].state is State.RUNNING, "agent-before")
        until(lambda: tree.configuration(link) is not None, "the deployment has come to its end, too")
        first.stop()
    with up_on("after", tree, tmp_path / "second") as second, tree.link() as link:
        assert "controller controller-before" in second.ready()
        assert "keeps the name 'agent-before'" in second.stderr
        found = tree.when(link, lambda found: "w1" in found and found["w1"].state is State.RUNNING, "agent-before")
        assert {status.node for status in found.values() if status.mgmt_role is Role.NONE} == {
            status.node for status in wanted.values() if status.mgmt_role is Role.NONE
        }
    # A file whose nodes name no instance means this one.
    with up_on("third", tree, tmp_path / "third", str(ini)) as third, tree.link() as link:
        third.ready()
        tree.when(link, lambda found: "w1" in found and found["w1"].state is State.RUNNING, "agent-before")
    with up_on("fourth", tree, tmp_path / "fourth", "--agent-name", "mine") as fourth:
        assert fourth.wait() == 1
        line = fourth.stderr.splitlines()[-1]
        assert line.startswith("error: --agent-name: 'mine' is not the name that the agent has in state directory ")
        assert "'agent-before'" in line
