"""The end of daemons: exit code 0, and nothing left of their trees."""

from __future__ import annotations

import signal
import subprocess

from fleet import ZEEK_CLIENT, Fleet, ini, node
from processes import Daemon, Lines, processes_of

from support.daemons import alive
from support.waiting import PATIENCE


def stopped(daemon: Daemon, number: signal.Signals) -> int:
    daemon.process.send_signal(number)
    return daemon.process.wait(PATIENCE)


def test_agent_and_controller(new_fleet) -> None:
    fleet: Fleet = new_fleet()
    fleet.start_controller()
    agent = fleet.start_agent("a1")
    fleet.deploy(ini(["a1"], {"m": node("a1", "manager"), "w": node("a1", "worker")}))
    pids = [entry["pid"] for entry in fleet.nodes().values()]
    tree = processes_of(fleet.root / "a1")
    assert {agent.process.pid, *pids} <= tree.keys()
    assert stopped(agent, signal.SIGTERM) == 0
    assert not any(alive(pid) for pid in tree)
    assert processes_of(fleet.root / "a1") == {}
    assert fleet.controller.running
    assert stopped(fleet.controller, signal.SIGTERM) == 0
    assert processes_of(fleet.root) == {}


def test_up_by_ctrl_c(new_fleet) -> None:
    fleet: Fleet = new_fleet()
    daemon = fleet.start_up()
    fleet.wait_for_instances("here")
    fleet.deploy(ini(["here"], {"m": node("here", "manager"), "w": node("here", "worker")}))
    pids = [entry["pid"] for entry in fleet.nodes().values()]
    assert len(pids) == 4
    tree = processes_of(fleet.root)
    assert stopped(daemon, signal.SIGINT) == 0
    assert not any(alive(pid) for pid in [*pids, *tree])
    assert processes_of(fleet.root) == {}


def test_monitor_hears_what_others_are_told_and_does_not_hold_up_the_controllers_end(new_fleet) -> None:
    fleet: Fleet = new_fleet()
    controller = fleet.start_controller(log_level="debug")
    monitor = subprocess.Popen(
        [str(ZEEK_CLIENT), "--controller", f"127.0.0.1:{fleet.client_port}", "monitor"],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONUNBUFFERED": "1"},
    )
    try:
        heard = Lines(monitor.stdout)
        assert controller.log.wait_for("peer added")
        assert fleet.client("get-instances").code == 0
        assert heard.wait_for("Management::Controller::API::get_instances_response"), str(heard)
        assert 'received "' in str(heard)
        assert stopped(controller, signal.SIGTERM) == 0
    finally:
        monitor.kill()
        monitor.wait()
