"""The ports that the controller assigns, as the deployed configuration and get-nodes show them."""

from __future__ import annotations

import pytest
from fleet import Fleet, ini, node

from support.ports import free_ports

NODES = {
    # In an order that is not the one of assignment.
    "z-manager": node("a1", "manager"),
    "b-logger": node("a1", "logger"),
    "a-logger": node("a1", "logger"),
    "a-proxy": node("a1", "proxy"),
    "a-worker": node("a1", "worker"),
}


def assigned(fleet: Fleet) -> tuple[dict[str, int], dict[str, int]]:
    """Listening and metrics ports by node, in the deployed configuration."""
    nodes = fleet.client("get-config", "--deployed", "--as-json").json["nodes"]
    return tuple({entry["name"]: entry[key] for entry in nodes if entry[key]} for key in ("port", "metrics_port"))


def test_defaults(new_fleet) -> None:
    fleet: Fleet = new_fleet()
    # Others may use these ports on this host: what the nodes make of them is not asked here.
    fleet.start_controller(auto_assign_start_port=None, auto_assign_metrics_start_port=None, check_before_deploy="no")
    fleet.start_agent("a1")
    fleet.client("deploy-config", "-", text=ini(["a1"], NODES))
    listening, metrics = assigned(fleet)
    assert listening == {"z-manager": 2200, "a-logger": 2201, "b-logger": 2202, "a-proxy": 2203}
    assert metrics == {"z-manager": 9000, "a-logger": 9001, "b-logger": 9002, "a-proxy": 9003, "a-worker": 9004}


def test_a_changed_start(fleet: Fleet) -> None:
    fleet.deploy(ini(["a1"], NODES))
    first, other = fleet.first_port, fleet.first_metrics_port
    listening, metrics = assigned(fleet)
    assert listening == {"z-manager": first, "a-logger": first + 1, "b-logger": first + 2, "a-proxy": first + 3}
    assert metrics["a-worker"] == other + 4
    shown = fleet.nodes()
    assert {name: shown[name]["port"] for name in listening} == listening
    assert {name: shown[name]["metrics_port"] for name in metrics} == metrics


def test_the_order_is_by_instance_first_and_counts_over_the_whole_cluster(fleet: Fleet) -> None:
    nodes = {
        "manager": node("a2", "manager"),
        "logger": node("a1", "logger"),
        "proxy": node("a1", "proxy"),
        "w": node("a1", "worker"),
        "v": node("a2", "worker"),
    }
    fleet.deploy(ini(["a1", "a2"], nodes))
    first, other = fleet.first_port, fleet.first_metrics_port
    listening, metrics = assigned(fleet)
    assert listening == {"logger": first, "proxy": first + 1, "manager": first + 2}
    # Both instances are seen at one address.
    assert metrics == {"logger": other, "proxy": other + 1, "w": other + 2, "manager": other + 3, "v": other + 4}


def test_taken_ports_leave_gaps(new_fleet) -> None:
    fleet: Fleet = new_fleet()
    first, other = fleet.first_port, fleet.first_metrics_port
    fleet.start_controller()
    fleet.start_agent("b1", controller="none", port=first + 2)
    nodes = {
        "manager": node("b1", "manager"),
        "logger": node("b1", "logger", port=first + 1, metrics_port=other + 1),
        "p1": node("b1", "proxy"),
        "p2": node("b1", "proxy"),
        "w": node("b1", "worker"),
    }
    fleet.deploy(ini([f"b1 = 127.0.0.1:{first + 2}"], nodes))
    listening, metrics = assigned(fleet)
    assert listening == {"logger": first + 1, "manager": first, "p1": first + 3, "p2": first + 4}
    assert metrics == {
        "logger": other + 1,
        "manager": other,
        "p1": other + 2,
        "p2": other + 3,
        "w": other + 4,
    }


@pytest.mark.long
def test_metrics_ports_keep_clear_of_listening_ports(new_fleet) -> None:
    fleet: Fleet = new_fleet()
    start = fleet.first_port
    fleet.start_controller(auto_assign_metrics_start_port=start)
    fleet.start_agent("a1")
    fleet.deploy(ini(["a1"], {"manager": node("a1", "manager"), "w": node("a1", "worker", port=start + 2)}))
    listening, metrics = assigned(fleet)
    assert listening == {"manager": start, "w": start + 2}
    assert metrics == {"manager": start + 1, "w": start + 3}


def test_the_daemons_own_ports_are_left_to_them(new_fleet) -> None:
    fleet: Fleet = new_fleet()
    first = free_ports(8)[0]
    fleet.client_port, fleet.agent_port = first + 1, first + 2
    fleet.start_up(
        auto_assign_start_port=first,
        auto_assign_metrics_start_port=first,
        agent_port=first + 4,
        supervisor_port=first + 5,
    )
    fleet.deploy(ini(["here"], {"manager": node("here", "manager"), "logger": node("here", "logger")}))
    assert assigned(fleet) == (
        {"manager": first, "logger": first + 3},
        {"manager": first + 6, "logger": first + 7},
    )


def test_metrics_ports_count_for_each_address_anew(new_fleet) -> None:
    fleet: Fleet = new_fleet()
    fleet.start_controller(check_before_deploy="no")
    [first, second] = free_ports(2)
    fleet.start_agent("b1", controller="none", port=first)
    fleet.start_agent("b2", controller="none", port=second, listen="127.0.0.2")
    instances = [f"b1 = 127.0.0.1:{first}", f"b2 = 127.0.0.2:{second}"]
    # In truth they share a host, where simulated nodes cannot share a metrics port: one of them fails.
    fleet.client("deploy-config", "-", text=ini(instances, {"w1": node("b1", "worker"), "w2": node("b2", "worker")}))
    listening, metrics = assigned(fleet)
    assert listening == {}
    assert metrics == {"w1": fleet.first_metrics_port, "w2": fleet.first_metrics_port}


@pytest.mark.long
def test_both_switched_off(new_fleet) -> None:
    fleet: Fleet = new_fleet()
    off: dict[str, object] = {"auto_assign_ports": "no", "auto_assign_metrics_ports": "no"}
    fleet.start_controller(**off, auto_assign_start_port=None, auto_assign_metrics_start_port=None)
    fleet.start_agent("a1")
    [port, metrics_port] = free_ports(2)
    nodes = {"manager": node("a1", "manager", port=port), "w": node("a1", "worker", metrics_port=metrics_port)}
    fleet.deploy(ini(["a1"], nodes))
    assert assigned(fleet) == ({"manager": port}, {"w": metrics_port})
    shown = fleet.nodes()
    assert shown["manager"]["port"] == port
    assert "metrics_port" not in shown["manager"]
    assert "port" not in shown["w"]
