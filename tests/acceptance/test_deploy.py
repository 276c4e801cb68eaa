"""Deployments by zeek-client, from a minimal one to changes of a running one."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from fleet import Fleet, ini, node

from support.daemons import alive
from support.ports import free_ports
from support.waiting import until

TWO = ini(
    ["a1", "a2"],
    {
        "manager": node("a1", "manager"),
        "logger": node("a2", "logger"),
        "proxy": node("a2", "proxy"),
        "w1": node("a1", "worker", interface="lo"),
        "w2": node("a2", "worker", interface="lo"),
    },
)


def success(instance: str) -> dict[str, object]:
    return {"success": True, "instance": instance}


def test_minimal_configuration_without_any_instance_names_goes_to_this_hosts_agent(
    new_fleet: Callable[[], Fleet],
) -> None:
    fleet = new_fleet()
    fleet.start_controller()
    name = f"agent-{socket.gethostname()}"
    fleet.start_agent(None)
    answer = fleet.client("deploy-config", "-", text="[manager]\nrole = manager\n[worker]\nrole = worker\n")
    assert answer.code == 0, answer
    assert answer.errors == []
    assert answer.results["nodes"] == {"manager": success(name), "worker": success(name)}
    assert answer.results["id"] in fleet.client("get-config", "--deployed", "--as-json").out


def test_two_instances_that_connect(fleet: Fleet) -> None:
    answer = fleet.deploy(TWO)
    assert answer.results["nodes"] == {
        "logger": success("a2"),
        "manager": success("a1"),
        "proxy": success("a2"),
        "w1": success("a1"),
        "w2": success("a2"),
    }
    assert set(answer.results) == {"id", "nodes"}


def test_a_file_does_as_well_as_standard_input(fleet: Fleet) -> None:
    file = fleet.root / "cluster.ini"
    file.write_text(TWO)
    answer = fleet.client("deploy-config", str(file))
    assert answer.code == 0, answer
    assert len(answer.results["nodes"]) == 5


def test_a_staged_configuration_is_deployed_later(fleet: Fleet) -> None:
    fleet.deploy(ini(["a1"], {"early": node("a1", "manager")}))
    staged = fleet.client("stage-config", "-", text=ini(["a1"], {"late": node("a1", "manager")}))
    assert staged.code == 0, staged
    assert list(fleet.pids()) == ["early"]
    deployed = fleet.client("deploy")
    assert deployed.code == 0, deployed
    assert deployed.json == {
        "errors": [],
        "results": {"id": staged.results["id"], "nodes": {"late": success("a1")}},
    }
    assert list(fleet.pids()) == ["late"]


def test_a_controller_that_connects_out(new_fleet: Callable[[], Fleet]) -> None:
    fleet = new_fleet()
    fleet.start_controller()
    first, second = free_ports(2)
    fleet.start_agent("b1", controller="none", port=first)
    fleet.start_agent("b2", controller="none", port=second)
    assert fleet.client("get-instances").json == {}
    instances = [f"b1 = 127.0.0.1:{first}", f"b2 = 127.0.0.1:{second}"]
    answer = fleet.deploy(ini(instances, {"manager": node("b1", "manager"), "w": node("b2", "worker")}))
    assert answer.results["nodes"] == {"manager": success("b1"), "w": success("b2")}
    assert fleet.client("get-instances").json == {
        "b1": {"host": "127.0.0.1", "port": first},
        "b2": {"host": "127.0.0.1", "port": second},
    }
    # Such an agent tells its port.
    assert fleet.nodes()["b1"]["port"] == first
    assert fleet.nodes()["b1"]["mgmt_role"] == "AGENT"


def test_one_agent_connects_while_the_controller_connects_to_the_other(fleet: Fleet) -> None:
    [port] = free_ports()
    other = fleet.start_agent("b1", controller="none", port=port)
    del fleet.agents["b1"]  # it is not among those that the next test needs
    try:
        nodes = {"manager": node("a1", "manager"), "w": node("b1", "worker")}
        assert len(fleet.deploy(ini(["a1", f"b1 = 127.0.0.1:{port}"], nodes)).results["nodes"]) == 2
        assert fleet.client("get-instances").json == {
            "a1": {"host": "127.0.0.1"},
            "a2": {"host": "127.0.0.1"},
            "b1": {"host": "127.0.0.1", "port": port},
        }
        fleet.deploy("")
    finally:
        assert other.stop() == 0
    fleet.wait_for_instances("a1", "a2")


def test_an_agent_that_comes_late_is_waited_for(new_fleet: Callable[[], Fleet]) -> None:
    fleet = new_fleet()
    controller = fleet.start_controller(request_timeout=40, log_level="debug")
    staged = fleet.client("stage-config", "-", text=ini(["a1"], {"m": node("a1", "manager")}))
    assert staged.code == 0
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(fleet.client, "deploy", settings=["client.request_timeout_secs=50"])
        assert controller.log.wait_for("peer added", times=2)  # the client that staged, and the one that deploys
        fleet.start_agent("a1")
        answer = waiting.result()
    assert answer.code == 0, answer
    assert answer.results["nodes"] == {"m": success("a1")}


def test_deploy_times_out_without_the_agent(lone: Fleet) -> None:
    answer = lone.client("deploy-config", "-", text=ini(["a1"], {"m": node("a1", "manager")}))
    assert answer.code == 1
    missing = "instance 'a1' is missing: never connected"
    assert answer.json == {"errors": ["request timed out", missing], "results": {}}
    assert lone.client("get-config", "--deployed").code == 1


def test_nothing_to_deploy(blank: Fleet) -> None:
    answer = blank.client("deploy")
    assert answer.code == 1
    assert answer.json == {"errors": ["no configuration available to deploy"], "results": {}}


def test_a_configuration_without_instances_is_deployed_at_once(fleet: Fleet) -> None:
    fleet.deploy(TWO)
    pids = fleet.pids()
    answer = fleet.deploy("")
    assert list(answer.results) == ["id"]
    fleet.deploy(ini(["a1", "a2"], {}))
    assert fleet.pids() == {}
    assert not any(alive(pid) for pid in pids.values())


def test_an_instance_without_nodes_counts_as_success(fleet: Fleet) -> None:
    answer = fleet.deploy(ini(["a1", "a2"], {"m": node("a1", "manager")}))
    assert answer.results["nodes"] == {"m": success("a1")}


def test_an_instance_that_leaves_stops_its_nodes_and_stays_connected(fleet: Fleet) -> None:
    fleet.deploy(TWO)
    fleet.deploy(ini(["a1"], {"manager": node("a1", "manager")}))
    until(lambda: list(fleet.pids()) == ["manager"], "nodes of a2 are gone")
    assert sorted(fleet.client("get-instances").json) == ["a1", "a2"]
    # And it takes part again when it is wanted again.
    assert len(fleet.deploy(TWO).results["nodes"]) == 5


def test_the_same_configuration_again_touches_no_process(fleet: Fleet) -> None:
    fleet.deploy(TWO)
    pids = fleet.pids()
    fleet.deploy(TWO)  # zeek-client gives it a new id
    assert fleet.pids() == pids
    assert fleet.client("deploy").code == 0  # the very same, id included
    assert fleet.pids() == pids


def test_a_changed_variable_restarts_that_node_alone(fleet: Fleet) -> None:
    fleet.deploy(TWO)
    before = fleet.pids()
    fleet.deploy(TWO.replace("[w1]", '[w1]\nenv = "ZEEKFLEET_SIM_OUTPUT=hello from w1"'))
    after = fleet.pids()
    assert {name for name in after if after[name] != before[name]} == {"w1"}
    assert not alive(before["w1"])
    assert (fleet.root / "a1" / "nodes" / "w1" / "stdout").read_text().endswith("hello from w1\n")


def test_a_change_restarts_only_whom_it_concerns(fleet: Fleet) -> None:
    fleet.deploy(TWO)
    before = fleet.pids()
    fleet.deploy(
        TWO.replace("[w1]\ninstance = a1\nrole = worker\ninterface = lo", "[w1]\ninstance = a1\nrole = worker")
    )
    without_interface = fleet.pids()
    assert {name for name in before if without_interface[name] != before[name]} == {"w1"}
    [port] = free_ports()
    fleet.deploy(TWO.replace("[w2]", f"[w2]\nmetrics_port = {port}"))
    after = fleet.pids()
    # The manager tells Prometheus where all metrics are.
    assert {name for name in before if after[name] != without_interface[name]} == {"manager", "w1", "w2"}


def test_nodes_that_come_and_go(fleet: Fleet) -> None:
    fleet.deploy(ini(["a1"], {"m": node("a1", "manager"), "w1": node("a1", "worker")}))
    before = fleet.pids()
    fleet.deploy(ini(["a1"], {"m": node("a1", "manager"), "w2": node("a1", "worker")}))
    assert sorted(fleet.pids()) == ["m", "w2"]
    assert not alive(before["w1"])
