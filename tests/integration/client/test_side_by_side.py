"""zeek-client and zeekfleet against the same answers: equal bytes on stdout, equal exit codes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from zeekfleet.broker.events import controller as api
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.values import NONE, Count, EnumValue, String, Vector
from zeekfleet.model.enums import ClusterRole, Role, State
from zeekfleet.model.management import Configuration, Instance, Node, NodeOutputs, NodeStatus, Option, Result
from zeekfleet.model.types import Address, Port
from zeekfleet.planning.review import NO_PROXY

INI = """
[instances]
agent-a
agent-b = 10.0.0.7:2151
[manager]
instance = agent-a
role = manager
[worker-01]
instance = agent-b
role = worker
interface = lo
env = FOO=bar
"""
CONFIGURATION = Configuration(
    id="c-1",
    instances=(Instance("b", Address("10.0.0.7"), Port(2151)), Instance("a"), Instance("c", Address("fd00::1"))),
    nodes=(
        Node(
            "worker", "b", ClusterRole.WORKER, State.RUNNING, interface="lo", cpu_affinity=3, env={"Z": "a b", "A": "1"}
        ),
        Node(
            "manager", "a", ClusterRole.MANAGER, State.PENDING, Port(2200), ("x y.zeek", "b"), metrics_port=Port(9000)
        ),
    ),
)
STATUSES = (
    NodeStatus("w", State.RUNNING, Role.NODE, ClusterRole.WORKER, 12, None, Port(9001)),
    NodeStatus("agent", State.RUNNING, Role.AGENT, ClusterRole.NONE, 10, Port(2151), None),
    NodeStatus("m", State.CRASHED, Role.NONE, ClusterRole.MANAGER),
)


class Case(NamedTuple):
    """What to run, and what each request gets for an answer: results, or a function of the request's id.

    ``code`` is ours where zeek-client's does not tell that something asked for was not done.
    """

    verb: tuple[str, ...]
    results: Any = ()
    request: type[Event] | None = None
    single: bool = False
    stdin: str = ""
    code: int | None = None


def results(*made: dict[str, Any]) -> Callable[[str], tuple[Result, ...]]:
    return lambda reqid: tuple(Result(reqid, **fields) for fields in made)


def bad(error: str | None = None, **others: Any) -> dict[str, Any]:
    return {"success": False, "error": error, **others}


def good(data: Any = None, **others: Any) -> dict[str, Any]:
    return {"data": data, **others}


INSTANCES = (Instance("b", Address("10.0.0.7"), Port(2151)), Instance("a"), Instance("c", Address("fd00::1")))

CASES = {
    "instances": Case(("get-instances",), results(good(INSTANCES)), api.GetInstancesRequest, True),
    "no-instances": Case(("get-instances",), results(good(Vector([]))), api.GetInstancesRequest, True),
    "instances-without-data": Case(("get-instances",), results(good()), api.GetInstancesRequest, True),
    "instances-malformed": Case(
        ("get-instances",), results(good((Vector([Count(1)]),))), api.GetInstancesRequest, True, code=1
    ),
    "instances-refused": Case(("get-instances",), results(bad("no")), api.GetInstancesRequest, True),
    "instances-refused-silently": Case(("get-instances",), results(bad()), api.GetInstancesRequest, True),
    "nodes": Case(
        ("get-nodes",),
        results(good(STATUSES, instance="b"), good(STATUSES[:1], instance="a")),
        api.GetNodesRequest,
    ),
    "nodes-none": Case(("get-nodes",), results(bad("no instances connected")), api.GetNodesRequest),
    "nodes-partly": Case(
        ("get-nodes",),
        results(
            bad("request timed out", instance="c"),
            good(STATUSES, instance="b"),
            good(None, instance="a"),
            good(Vector([]), instance="d"),
            bad(),
        ),
        api.GetNodesRequest,
    ),
    "nodes-malformed": Case(
        ("get-nodes",),
        results(
            good((Vector([String("x"), *[EnumValue("Management::NOPE")] * 3, NONE, NONE, NONE]),), instance="b"),
        ),
        api.GetNodesRequest,
        code=1,
    ),
    "nodes-empty-answer": Case(("get-nodes",), results(), api.GetNodesRequest),
    "restart": Case(
        ("restart",), results(good(instance="b", node="n2"), good(instance="a", node="n1")), api.RestartRequest
    ),
    "restart-mixed": Case(
        ("restart", "n1", "zz", "yy"),
        results(
            bad("unknown cluster node", node="zz"),
            bad("could not restart node n1", node="n1", instance="b"),
            good(instance="a", node="n0"),
            bad("unknown cluster node", node="yy"),
        ),
        api.RestartRequest,
    ),
    "restart-failed": Case(
        ("restart",),
        results(bad("x", node="n1", instance="b"), good(instance="b", node="n2")),
        api.RestartRequest,
        code=1,
    ),
    "restart-unanswered": Case(
        ("restart", "n1", "n2"), results(good(instance="b", node="n2")), api.RestartRequest, code=1
    ),
    "id-value-unanswered": Case(
        ("get-id-value", "x", "n1", "n2"), results(good("1", instance="b", node="n2")), api.GetIdValueRequest, code=1
    ),
    "restart-no-deployment": Case(("restart",), results(bad("no active cluster deployment")), api.RestartRequest),
    "id-value": Case(
        ("get-id-value", "x"),
        results(
            good('{"b": [1, 2.50, null], "a": "ä"}', instance="i", node="n2"),
            good("18446744073709551615", instance="i", node="n1"),
            good("1e400", instance="i", node="n3"),
        ),
        api.GetIdValueRequest,
    ),
    "id-value-errors": Case(
        ("get-id-value", "x", "n1", "n9"),
        results(
            bad("unknown cluster node", node="n9"),
            bad("unknown id", instance="b", node="n1"),
            bad("unknown id", instance="a", node="n4"),
            good("96", instance="b", node="n2"),
            good("{no json", instance="b", node="n3"),
            good(Count(7), instance="b", node="n5"),
            good(None, instance="b", node="n6"),
            good("1", instance="b"),
        ),
        api.GetIdValueRequest,
    ),
    "id-value-no-cluster": Case(("get-id-value", "x"), results(bad("no cluster deployed")), api.GetIdValueRequest),
    "deploy": Case(
        ("deploy",),
        results(good(instance="b", node="n1"), good(instance="a"), good("c-1")),
        api.DeployRequest,
    ),
    "deploy-partly": Case(
        ("deploy",),
        results(
            bad("request timed out", instance="a"),
            bad(instance="a", node="n2", data=NodeOutputs("out\nmore", "err ü")),
            bad("x", instance="a", node="n3"),
            good(instance="b", node="n1"),
            bad(),
            bad("y", node="lost"),
            bad(instance="c"),
            good("c-1"),
        ),
        api.DeployRequest,
    ),
    "deploy-nothing": Case(("deploy",), results(bad("no configuration available to deploy")), api.DeployRequest),
    "deploy-empty": Case(("deploy",), results(good()), api.DeployRequest, code=1),
    "stage": Case(("stage-config", "-"), results(good("c-1")), api.StageConfigurationRequest, stdin=INI),
    "stage-file": Case(("stage-config", "cluster.ini"), results(good("c-1")), api.StageConfigurationRequest),
    "stage-errors": Case(
        ("stage-config", "-"),
        results(bad("multiple nodes named 'x'"), bad("second"), bad()),
        api.StageConfigurationRequest,
        stdin=INI,
    ),
    "stage-missing-file": Case(("stage-config", "absent.ini")),
    "stage-directory": Case(("stage-config", ".")),
    "stage-bad-role": Case(("stage-config", "-"), stdin="[x]\nrole = boss\n"),
    "stage-bad-port": Case(("stage-config", "-"), stdin="[x]\nrole = worker\nport = 70000\n"),
    "stage-no-value": Case(("stage-config", "-"), stdin="[x]\nrole\n"),
    "stage-bare-address": Case(("stage-config", "-"), stdin="[instances]\na = 10.0.0.1\n"),
    "stage-no-section": Case(("stage-config", "-"), stdin="role = worker\n"),
    "deploy-config-refused": Case(
        ("deploy-config", "-"), results(bad("first")), api.StageConfigurationRequest, stdin=INI
    ),
    "deploy-config-bad": Case(("deploy-config", "-"), stdin="[x]\nrole = boss\n"),
    "config-ini": Case(("get-config",), results(good(CONFIGURATION)), api.GetConfigurationRequest, True),
    "config-staged": Case(("get-config", "--staged"), results(good(CONFIGURATION)), api.GetConfigurationRequest, True),
    "config-empty": Case(("get-config",), results(good(Configuration("e"))), api.GetConfigurationRequest, True),
    "config-json": Case(
        ("get-config", "--as-json", "--deployed"), results(good(CONFIGURATION)), api.GetConfigurationRequest, True
    ),
    "config-none": Case(
        ("get-config",), results(bad("no staged configuration available")), api.GetConfigurationRequest, True
    ),
    "config-without-data": Case(("get-config",), results(good()), api.GetConfigurationRequest, True),
    "timeout-answered": Case(
        ("test-timeout", "--with-state"), results(bad("request timed out")), api.TestTimeoutRequest, True
    ),
    "timeout-silent": Case(("--set", "client.request_timeout_secs=1", "test-timeout")),
    "no-verb": Case(()),
    "unknown-verb": Case(("explode",)),
    "missing-argument": Case(("get-id-value",)),
    "quiet": Case(("-q", "get-instances"), results(bad("no")), api.GetInstancesRequest, True),
    "compact": Case(
        ("--set", "client.pretty_json=False", "get-instances"),
        results(good(INSTANCES)),
        api.GetInstancesRequest,
        True,
    ),
    "bad-assignment": Case(("--set", "nonsense", "get-instances"), results(good(())), api.GetInstancesRequest, True),
    "bad-number": Case(("--set", "client.request_timeout_secs=soon", "get-instances")),
    "settings": Case(("show-settings",)),
    "settings-changed": Case(("--set", "a.b=c d", "--set", "client.Pretty_JSON=no", "-vv", "show-settings")),
}
INI_ON_STDOUT = {"config-ini", "config-staged", "config-empty", "settings", "settings-changed"}


@pytest.mark.parametrize("name", CASES)
async def test_same_stdout_and_exit_code(controller, run, tmp_path: Path, name: str):
    case = CASES[name]
    (tmp_path / "cluster.ini").write_text(INI)
    if case.request is not None:
        response = case.request.response
        assert response is not None

        def answer(request: Any) -> Event:
            made = case.results(request.reqid)
            return response(request.reqid, made[0] if case.single else made)

        controller.on(case.request, answer)
    target = ("--controller", f"127.0.0.1:{controller.port}")
    json = () if name in INI_ON_STDOUT else ("--json",)
    theirs, ours = await asyncio.gather(
        run("zeek-client", *target, *case.verb, stdin=case.stdin),
        run("zeekfleet", *json, *target, *case.verb, stdin=case.stdin),
    )
    assert ours.stdout == theirs.stdout
    assert ours.code == (theirs.code if case.code is None else case.code)
    assert case.code is None or theirs.code == 0, "there is nothing to tell apart"
    assert ours.code == 0 or ours.stderr or ours.stdout  # a failure is never mute
    if case.request is not None:
        asked = [request for request in controller.heard if type(request) is case.request]
        assert len(asked) == 2
        assert _without_ids(asked[0]) == _without_ids(asked[1])


def _without_ids(request: Any) -> Any:
    fields = {name: getattr(request, name) for name in request.__struct_fields__ if name != "reqid"}
    if "config" in fields:
        config = fields["config"]
        fields["config"] = (sorted(config.instances, key=repr), sorted(config.nodes, key=repr))
    return fields


async def test_deploy_config_prints_only_the_deployment(controller, run):
    controller.on(
        api.StageConfigurationRequest, lambda r: api.StageConfigurationResponse(r.reqid, (Result(r.reqid, data="c-1"),))
    )
    controller.on(
        api.DeployRequest,
        lambda r: api.DeployResponse(r.reqid, (Result(r.reqid, instance="a", node="n"), Result(r.reqid, data="c-1"))),
    )
    target = f"127.0.0.1:{controller.port}"
    theirs = await run("zeek-client", "--controller", target, "deploy-config", "-", stdin=INI)
    ours = await run("zeekfleet", "deploy-config", "--json", "--controller", target, "-", stdin=INI)
    assert ours.stdout == theirs.stdout
    assert '"c-1"' in ours.stdout
    assert ours.code == theirs.code == 0
    assert ours.stderr == f"warning: {NO_PROXY}\n"


async def test_config_written_to_a_file_is_the_same(controller, run, tmp_path: Path):
    controller.on(
        api.GetConfigurationRequest,
        lambda r: api.GetConfigurationResponse(r.reqid, Result(r.reqid, data=CONFIGURATION)),
    )
    target = f"127.0.0.1:{controller.port}"
    for form in ((), ("--as-json",)):
        await run("zeek-client", "--controller", target, "get-config", *form, "-f", "theirs")
        done = await run("zeekfleet", "--controller", target, "get-config", *form, "-f", "ours")
        assert (done.code, done.stdout) == (0, "")
        assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


async def test_options_in_a_configuration_are_shown_where_zeek_client_fails(controller, run):
    node = Node("n", "a", ClusterRole.WORKER, State.RUNNING, options=(Option("o", "v"),))
    configuration = Configuration("c", (Instance("a"),), (node,))
    controller.on(
        api.GetConfigurationRequest,
        lambda r: api.GetConfigurationResponse(r.reqid, Result(r.reqid, data=configuration)),
    )
    ours = await run("zeekfleet", "--controller", f":{controller.port}", "get-config", "--json")
    assert ours.code == 0
    assert '"value": "v"' in ours.stdout
