"""How a shell's command line may go on."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from zeekfleet.broker.events import controller as api
from zeekfleet.cli import main
from zeekfleet.cli.purposes import VERBS
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.launch import ENGINE_NAMES
from zeekfleet.model.management import Configuration, Instance, Node, Result

BIN = Path(sys.executable).parent
CONFIGURATION = Configuration(
    "c",
    (Instance("box"),),
    (
        Node("worker-1", "box", ClusterRole.WORKER, State.RUNNING),
        Node("manager", "box", ClusterRole.MANAGER, State.RUNNING),
    ),
)


async def completed(line: str, tmp_path: Path) -> set[str]:
    """What the shell would offer; nothing may be said on the terminal meanwhile."""
    answer = tmp_path / "answer"
    answer.touch()
    variables = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
    }
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        BIN / "zeekfleet", stdout=pipe, stderr=pipe, env=os.environ | variables, cwd=tmp_path
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"", b"")
    return {word.strip() for word in answer.read_text().split("\n")} - {""}


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("zeekfleet re", {"restart"}),
        ("zeekfleet ", set(VERBS)),
        ("zeekfleet restart --ro", {"--rolling"}),
        ("zeekfleet help di", {"diag"}),
        ("zeekfleet up --engine ", set(ENGINE_NAMES)),
        ("zeekfleet --set client.pe", {"client.peering_attempts=", "client.peering_retry_delay_secs="}),
        ("zeekfleet --controller 127.0.0.1:1 restart wo", {"workers"}),
    ],
)
async def test_what_is_offered(line: str, offered: set[str], tmp_path: Path):
    assert await completed(line, tmp_path) >= offered
    if len(offered) < 4:
        assert await completed(line, tmp_path) == offered


@pytest.mark.parametrize(
    ("word", "offered"), [("", {"worker-1", "manager", "workers", "@box"}), ("w", {"worker-1", "workers"})]
)
async def test_nodes_are_those_that_are_deployed(controller: Any, word: str, offered: set[str], tmp_path: Path):
    controller.on(
        api.GetConfigurationRequest,
        lambda r: api.GetConfigurationResponse(r.reqid, Result(r.reqid, data=CONFIGURATION)),
    )
    for verb in ("restart", "get-id-value x", "status", "diag"):
        line = f"zeekfleet --controller 127.0.0.1:{controller.port} {verb} {word}"
        assert await completed(line, tmp_path) >= offered
    assert controller.heard[0].deployed


def test_a_shell_finds_out_that_there_is_completion():
    """argcomplete's global completion looks for this mark at the beginning of the console script's module."""
    assert main.__file__ is not None
    assert "PYTHON_ARGCOMPLETE_OK" in Path(main.__file__).read_text()[:1024]
