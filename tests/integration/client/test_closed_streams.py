"""No verb fails for want of somebody to talk to: its exit code still tells whether the work was done."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from zeekfleet.broker.events import checks, details, dispatches
from zeekfleet.broker.events import controller as api
from zeekfleet.broker.events.base import Request, ResultResponse, ResultsResponse
from zeekfleet.broker.events.notifications import NotificationsRequest, NotificationsResponse
from zeekfleet.broker.generations import SECOND
from zeekfleet.cli.purposes import VERBS
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node, Result

HELPER = Path(__file__).with_name("verbs_without_streams.py")
INI = "[instances]\na\n[m]\ninstance = a\nrole = manager\n"


def answer_all(controller: Any) -> None:
    """Everything is well, but that ``n1`` cannot tell a value: so there are exit codes of both kinds."""

    def one(response: Any, **fields: Any) -> Any:
        return lambda request: response(request.reqid, Result(request.reqid, **fields))

    def several(response: Any, **fields: Any) -> Any:
        return lambda request: response(request.reqid, (Result(request.reqid, **fields),))

    refused = {"success": False, "error": "no ID value", "instance": "a", "node": "n1"}
    staged = Configuration("c", (Instance("a"),), (Node("n1", "a", ClusterRole.MANAGER, State.RUNNING),))
    deployed = Configuration("c", (Instance("a"),))
    controller.on(api.GetInstancesRequest, one(api.GetInstancesResponse, data=(Instance("a"),)))

    def kept(request: api.GetConfigurationRequest) -> api.GetConfigurationResponse:
        return api.GetConfigurationResponse(request.reqid, Result("", data=deployed if request.deployed else staged))

    controller.on(api.GetConfigurationRequest, kept)
    controller.on(api.StageConfigurationRequest, several(api.StageConfigurationResponse, data="c"))
    controller.on(api.DeployRequest, several(api.DeployResponse, data="c"))
    controller.on(api.GetNodesRequest, several(api.GetNodesResponse, instance="a", data=()))
    controller.on(api.RestartRequest, several(api.RestartResponse, instance="a", node="n1"))
    controller.on(api.GetIdValueRequest, several(api.GetIdValueResponse, **refused))
    controller.on(dispatches.ControllerDispatchRequest, several(dispatches.ControllerDispatchResponse, **refused))
    controller.on(checks.ControllerCheckRequest, several(checks.ControllerCheckResponse, instance="a"))
    controller.on(details.ControllerStatusRequest, several(details.ControllerStatusResponse, instance="a", data=()))
    controller.on(NotificationsRequest, one(NotificationsResponse, data=()))
    controller.on(details.ControllerDiagnosisRequest, one(details.ControllerDiagnosisResponse, **refused))
    for request in SECOND.events.values():  # so that a new verb fails here by name, and not by a time-out
        if issubclass(request, Request) and issubclass(request.response, ResultResponse | ResultsResponse):
            controller.answers.setdefault(request, lambda r: r.response.failure(r.reqid, ("not answered here",), None))


async def test_closed_streams_and_lost_terminals_change_no_exit_code(controller, tmp_path: Path):
    answer_all(controller)
    (tmp_path / "cluster.ini").write_text(INI)
    command = (sys.executable, str(HELPER), str(controller.port))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, cwd=tmp_path)
    async with asyncio.timeout(100):
        out, err = await process.communicate()
    assert err.decode() == ""
    codes = json.loads(out)
    assert codes.keys() == VERBS.keys() - {"monitor", "test-timeout"}
    for verb, by_manner in codes.items():
        assert set(by_manner.values()) == {by_manner["plain"]}, (verb, by_manner)
    assert {verb for verb, by_manner in codes.items() if by_manner["plain"]} == {
        *("get-id-value", "set-option", "net-stats", "peer-stats", "diag", "token")
    }


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&-", "<&- >&- 2>&-"])
async def test_as_a_shell_closes_them(closed: str):
    process = await asyncio.create_subprocess_shell(f'"{sys.executable}" -m zeekfleet show-settings {closed}')
    async with asyncio.timeout(60):
        assert await process.wait() == 0


async def test_what_cannot_be_said_is_not_said_on_standard_output(controller):
    """With stderr closed, an error must not end up among the data."""
    program = f'"{sys.executable}" -m zeekfleet --controller :{controller.port} restart -x 2>&-'
    process = await asyncio.create_subprocess_shell(program, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    assert (process.returncode, out) == (2, b"")


async def test_standard_input_that_is_closed_is_told(run):
    program = f'"{sys.executable}" -m zeekfleet stage-config - <&-'
    process = await asyncio.create_subprocess_shell(program, stderr=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):
        _, err = await process.communicate()
    assert process.returncode == 1
    assert err == b"error: cluster configuration standard input cannot be read: it is closed\n"
