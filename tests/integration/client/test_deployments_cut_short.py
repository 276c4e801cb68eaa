"""A deployment whose connection ends, or whose command is interrupted."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.proxy import FaultyProxy
from support.waiting import async_until
from zeekfleet.broker import topics
from zeekfleet.broker.events import controller as api
from zeekfleet.broker.events.deployments import DeploymentProgress
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node, Result

BIN = Path(sys.executable).parent
INI = "[instances]\na1\n[m]\nrole = manager\ninstance = a1\n[p]\nrole = proxy\ninstance = a1\n"


@pytest.fixture
def staging(controller):
    controller.on(
        api.StageConfigurationRequest, lambda r: api.StageConfigurationResponse(r.reqid, (Result(r.reqid, data="c"),))
    )
    return controller


@pytest.mark.parametrize(("losses", "code"), [(1, 0), (2, 0), (3, 1)])
@pytest.mark.parametrize(
    ("words", "first"),
    [(("deploy-config", "-"), api.StageConfigurationRequest), (("deploy",), api.GetConfigurationRequest)],
)
async def test_a_deployment_is_asked_for_again_when_the_controller_is_lost(staging, run, words, first, losses, code):
    async with FaultyProxy("127.0.0.1", staging.port) as proxy:

        def deploy(request):
            if proxy.accepted <= losses:
                proxy.drop()
                return None
            return api.DeployResponse(
                request.reqid, (Result(request.reqid, instance="a1", node="m"), Result("", data="c"))
            )

        staging.on(api.DeployRequest, deploy)
        done = await run("zeekfleet", "--controller", f":{proxy.port}", *words, stdin=INI)
    assert done.code == code
    warnings = [line for line in done.stderr.splitlines() if line.endswith("the deployment is asked for again")]
    assert len(warnings) == min(losses, 2)
    asked = [type(event) for event in staging.heard]
    assert asked == [first, api.DeployRequest] * (min(losses, 2) + 1)


async def test_what_was_staged_while_the_controller_was_away_is_not_deployed_by_chance(staging, run):
    manager = Node("m", "a1", ClusterRole.MANAGER, State.RUNNING)
    async with FaultyProxy("127.0.0.1", staging.port) as proxy:

        def staged(request):
            found = Configuration(f"c-{proxy.accepted}", (Instance("a1"),), (manager,))
            return api.GetConfigurationResponse(request.reqid, Result(request.reqid, data=found))

        staging.on(api.GetConfigurationRequest, staged)
        staging.on(api.DeployRequest, lambda _: proxy.drop())
        done = await run("zeekfleet", "--controller", f":{proxy.port}", "deploy")
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.endswith("error: meanwhile configuration c-2 was staged, which is not deployed\n")
    assert sum(isinstance(event, api.DeployRequest) for event in staging.heard) == 1


@pytest.mark.parametrize("size", [0, 40])
async def test_a_controller_that_dies_while_it_accepts_is_waited_for(staging, run, size: int):
    staging.on(api.DeployRequest, lambda r: api.DeployResponse(r.reqid, (Result("", data="c"),)))
    async with FaultyProxy("127.0.0.1", staging.port) as proxy:
        proxy.cut_after(size)
        running = asyncio.create_task(
            run("zeekfleet", "--controller", f":{proxy.port}", "deploy-config", "-", stdin=INI)
        )
        await async_until(lambda: proxy.accepted >= 2)
        proxy.cut_after(None)
        assert (await running).code == 0


async def test_what_is_staged_and_has_no_nodes_is_not_deployed_by_chance(staging, run):
    staging.on(api.DeployRequest, lambda r: api.DeployResponse(r.reqid, (Result(r.reqid, data="c"),)))
    empty = Configuration(instances=(Instance("a1"),))
    staging.on(
        api.GetConfigurationRequest, lambda r: api.GetConfigurationResponse(r.reqid, Result(r.reqid, data=empty))
    )
    refused = await run("zeekfleet", "--controller", f":{staging.port}", "deploy")
    assert refused.code == 1
    assert refused.stderr.startswith("error: there is no node in the staged configuration")
    assert not any(isinstance(event, api.DeployRequest) for event in staging.heard)
    assert (await run("zeekfleet", "--controller", f":{staging.port}", "deploy", "--allow-empty")).code == 0


async def test_a_check_takes_a_file_without_nodes_where_that_is_meant(run):
    assert (await run("zeekfleet", "check", "--allow-empty", "--set", "client.peering_attempts=1", "-")).code == 0


@pytest.mark.parametrize(
    ("step", "missing", "said"),
    [
        ("waiting for instances", {"a1": "never connected"}, "the controller gives the deployment up"),
        ("waiting for nodes", {}, "the deployment goes on"),
    ],
)
async def test_who_interrupts_a_deployment_is_told_what_becomes_of_it(staging, tmp_path, step, missing, said):
    asked: asyncio.Queue[api.DeployRequest] = asyncio.Queue()
    staging.on(api.DeployRequest, asked.put_nowait)
    process = await asyncio.create_subprocess_exec(
        *(str(BIN / "zeekfleet"), "--controller", f":{staging.port}", "deploy-config", "-"),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(INI.encode())
    process.stdin.close()
    async with asyncio.timeout(30):
        # Told twice, as waits are that last; the command has read both when it has said so, or is told the next.
        progress = DeploymentProgress((await asked.get()).reqid, "c", step, 0, missing, ("m",), ())
        for _ in range(2):
            staging.endpoint.publish(topics.DEPLOYMENTS, progress)
        if missing:
            await process.stderr.readuntil(b"waiting for instance a1 (never connected)\n")
        process.send_signal(signal.SIGINT)
        told = (await process.stderr.read()).decode()
        assert await process.wait() == 130
    assert f"interrupted; {said}" in told
