"""What the verbs do beyond zeek-client: tables, progress, clean failures."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp.web
import pytest

from zeekfleet.broker.events import agent
from zeekfleet.broker.events import controller as api
from zeekfleet.broker.events.presence import NotifyAlive
from zeekfleet.broker.generations import GENERATIONS
from zeekfleet.broker.messages import encode_event
from zeekfleet.model.enums import ClusterRole, Role, State
from zeekfleet.model.management import Configuration, Instance, Node, NodeOutputs, NodeStatus, Result
from zeekfleet.transport.bus import Delivery
from zeekfleet.transport.websocket import WebSocketBus

BIN = Path(sys.executable).parent
ONCE = ("--set", "client.peering_attempts=1")
INI = "[instances]\na1\n[worker]\nrole = worker\ninstance = a1\n"
WORKER = Node("worker", "a1", ClusterRole.WORKER, State.RUNNING)


def answer_nodes(controller: Any) -> None:
    status = NodeStatus("worker\x1b[31m", State.RUNNING, Role.NONE, ClusterRole.WORKER, 77)
    controller.on(
        api.GetNodesRequest,
        lambda r: api.GetNodesResponse(r.reqid, (Result(r.reqid, instance="a1", data=(status,)),)),
    )


async def test_plain_text_without_terminal(controller, run):
    answer_nodes(controller)
    done = await run("zeekfleet", "get-nodes", "--controller", f":{controller.port}")
    heading, row = done.stdout.splitlines()
    assert heading.split() == ["INSTANCE", "NODE", "ROLE", "STATE", "PID", "PORT", "METRICS", "PORT"]
    assert row.split() == ["a1", "worker\\x1b[31m", "worker", "running", "77", "-", "-"]
    assert row.index("running") == heading.index("STATE")
    assert "\x1b" not in done.stdout


async def test_failed_node_is_shown_with_its_output(controller, run):
    outputs = NodeOutputs("", "fatal error in line 1\nno such script\n")
    controller.on(
        api.DeployRequest,
        lambda r: api.DeployResponse(
            r.reqid,
            (
                Result(r.reqid, success=False, instance="a1", node="worker", data=outputs),
                Result(r.reqid, instance="a1", node="manager"),
                Result(r.reqid, data="c-9"),
            ),
        ),
    )
    done = await run("zeekfleet", "--controller", f":{controller.port}", "deploy")
    assert done.code == 1
    assert "worker, stderr:\n    fatal error in line 1\n    no such script\n" in done.stdout
    assert "deployed configuration c-9, 1 of 2 nodes failed" in done.stdout


async def on_terminal(*arguments: str) -> tuple[int, str]:
    """Run zeekfleet with all streams on a terminal; its exit code and all it wrote."""
    ours, theirs = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ZEEK")}
    process = await asyncio.create_subprocess_exec(
        str(BIN / "zeekfleet"),
        *arguments,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment | {"TERM": "xterm-256color", "COLUMNS": "100"},
    )
    os.close(theirs)
    written = b""

    def read() -> bytes:
        try:
            return os.read(ours, 65536)
        except OSError:  # the last writer has closed its side
            return b""

    async with asyncio.timeout(60):
        while part := await asyncio.to_thread(read):
            written += part
        code = await process.wait()
    os.close(ours)
    return code, written.decode()


async def test_colour_on_a_terminal(controller):
    answer_nodes(controller)
    code, written = await on_terminal("get-nodes", "--controller", f":{controller.port}")
    assert code == 0
    assert "\x1b[32mrunning" in written
    assert "worker\\x1b[31m" in written


async def test_progress_on_a_terminal(controller):
    configuration = Configuration("c-1", (Instance("a1"),), (WORKER,))
    controller.on(
        api.GetConfigurationRequest,
        lambda r: api.GetConfigurationResponse(r.reqid, Result(r.reqid, data=configuration)),
    )

    def deploy(request: Any) -> api.DeployResponse:
        topic = "zeek/management/agent/a1"
        controller.endpoint.publish(topic, agent.NotifyChange("a1", WORKER, State.PENDING, State.RUNNING))
        controller.endpoint.publish(topic, agent.NotifyError("a1", "it smokes", "worker"))
        return api.DeployResponse(request.reqid, (Result(request.reqid, data="c-1"),))

    controller.on(api.DeployRequest, deploy)
    code, written = await on_terminal("deploy", "--controller", f":{controller.port}")
    assert code == 0
    assert "pending -> running" in written
    assert "a1, worker: it smokes" in written
    assert "deployed configuration c-1" in written


@pytest.mark.parametrize(("verb", "request_type"), [("deploy", api.DeployRequest), ("restart", api.RestartRequest)])
async def test_signs_of_progress_prolong_the_wait(controller, run, verb: str, request_type: Any):
    """With two seconds of patience, an answer after three still counts if agents are at work."""

    async def work(request: Any) -> None:
        for _ in range(4):
            await asyncio.sleep(0.75)  # the pace of the script, no synchronisation
            change = agent.NotifyChange("a1", WORKER, State.PENDING, State.RUNNING)
            controller.endpoint.publish("zeek/management/agent/a1", change)
        response = request_type.response(request.reqid, (Result(request.reqid, instance="a1", node="worker"),))
        controller.endpoint.publish("zeek/management/controller", response)

    async with asyncio.TaskGroup() as tasks:
        controller.on(request_type, lambda request: tasks.create_task(work(request)) and None)
        done = await run(
            "zeekfleet", "--controller", f":{controller.port}", "--set", "client.request_timeout_secs=2", verb
        )
    assert (done.code, done.stderr) == (0, "")
    assert "worker" in done.stdout


async def test_other_responses_are_not_taken_for_ours(controller, run):
    controller.on(
        api.GetInstancesRequest,
        lambda r: (
            controller.endpoint.publish(
                "zeek/management/controller",
                api.GetInstancesResponse("other", Result("other", data=(Instance("wrong"),))),
            )
            or api.GetInstancesResponse(r.reqid, Result(r.reqid, data=(Instance("right"),)))
        ),
    )
    done = await run("zeekfleet", "--controller", f":{controller.port}", "get-instances", "--json")
    assert json.loads(done.stdout) == {"right": {}}


async def test_nobody_listens(run, unused_tcp_port):
    done = await run("zeekfleet", "--controller", f":{unused_tcp_port}", *ONCE, "get-nodes")
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: cannot connect to controller 127.0.0.1:{unused_tcp_port}: Connection refused (attempts: 1);"
        " start one with 'zeekfleet up' or 'zeekfleet controller', or name another with --controller HOST:PORT\n"
    )


@pytest.mark.parametrize("verb", ["get-nodes", "status", "restart", "deploy", "net-stats", "diag n"])
async def test_what_is_waited_for_is_said_at_once(run, unused_tcp_port, verb: str):
    """Quiet, it is not, but why it failed is."""
    target = ("--controller", f":{unused_tcp_port}")
    told, quiet = await asyncio.gather(
        run("zeekfleet", *target, *verb.split()), run("zeekfleet", *target, "-q", *verb.split())
    )
    waiting, error = told.stderr.splitlines()
    assert waiting == f"waiting for the controller at 127.0.0.1:{unused_tcp_port}"
    assert error.startswith("error: cannot connect to controller")
    assert "Connection refused (tried for 3 s); start one with 'zeekfleet up'" in error
    assert (quiet.code, quiet.stdout, quiet.stderr) == (1, "", f"{error}\n")


HERE_AND_FAR = """
[instances]
here = 127.0.0.1:2151
far = 192.0.2.7:2151
[manager]
instance = here
role = manager
[proxy]
instance = here
role = proxy
[worker]
instance = here
role = worker
interface = lo
cpu_affinity = 65535
[remote]
instance = far
role = worker
interface = lo
"""


async def test_check_without_a_controller_looks_at_file_and_host(run, unused_tcp_port, tmp_path: Path):
    words = ("--controller", f":{unused_tcp_port}", *ONCE, "check", "-")
    environment = {"ZEEKFLEET_ENGINE": "sim", "ZEEK_MANAGEMENT_STATE_DIR": str(tmp_path / "state")}
    only_here = HERE_AND_FAR.partition("[remote]")[0].replace("far = 192.0.2.7:2151\n", "")
    both, sound, wrong = await asyncio.gather(
        run("zeekfleet", *words, stdin=HERE_AND_FAR, environment=environment),
        run("zeekfleet", *words, stdin=only_here.replace("cpu_affinity = 65535\n", ""), environment=environment),
        run(
            "zeekfleet",
            *words,
            stdin="[w]\nrole = worker\ninstance = nobody\n[instances]\na\n",
            environment=environment,
        ),
    )
    assert both.code == 1
    assert "far       not checked: without a controller, only this host can be\n" in both.stdout
    assert "here      problems found\n" in both.stdout
    warning, error = both.stderr.splitlines()
    assert warning.startswith(
        "warning: checked without a controller, as far as that goes: cannot connect to controller"
    )
    assert error == "error: node 'worker': CPU 65535 to pin to is offline or absent"
    assert (sound.code, sound.stdout.splitlines()[-1]) == (0, "nothing speaks against this configuration")
    assert wrong.code == 1
    assert "node 'w' has undeclared instance name 'nobody'" in wrong.stderr
    assert "controller" not in wrong.stderr, "what the file itself says needs nobody else"
    assert not (tmp_path / "state").exists()


async def test_a_controller_that_comes_while_it_is_waited_for(unused_tcp_port):
    pipe = asyncio.subprocess.PIPE
    target = ("--controller", f":{unused_tcp_port}", "--set", "client.peering_attempts=1000")
    program = (str(BIN / "zeekfleet"), *target, "--set", "client.peering_retry_delay_secs=0.1", "--json")
    process = await asyncio.create_subprocess_exec(*program, "get-instances", stdout=pipe, stderr=pipe)
    assert process.stderr is not None
    async with asyncio.timeout(60):
        line = await process.stderr.readline()
        assert line.decode() == f"waiting for the controller at 127.0.0.1:{unused_tcp_port}\n"
        async with WebSocketBus(name="late") as endpoint, asyncio.TaskGroup() as tasks:
            endpoint.subscribe("zeek/management/controller")
            await endpoint.listen("127.0.0.1", unused_tcp_port)

            async def serve() -> None:
                async for received in endpoint.events():
                    if isinstance(received, Delivery) and isinstance(received.event, api.GetInstancesRequest):
                        result = Result(received.event.reqid, data=(Instance("a"),))
                        endpoint.reply(received, api.GetInstancesResponse(result.reqid, result))

            serving = tasks.create_task(serve())
            out, err = await process.communicate()
            serving.cancel()
    assert (process.returncode, err) == (0, b"")
    assert json.loads(out) == {"a": {}}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--controller", "::1:80", "get-nodes"), "--controller: '::1:80' is wrong"),
        (("--controller", ":99999", "get-nodes"), "controller.port: '99999' (from --controller) is wrong"),
        (("--controller", "no such host", "get-nodes"), "cannot connect to controller no such host:2149"),
        (("--controller", "127.0.0.2:1", "get-nodes"), "zeekfleet controller --websocket-listen 127.0.0.2'"),
        (("--set", "ssl.enable=1", "--set", "ssl.cafile=/absent.pem", "get-nodes"), "ssl.cafile: /absent.pem"),
        (("stage-config", "absent.ini"), "cluster configuration absent.ini cannot be read: No such file"),
        (("-c", "/", "get-nodes"), "/: cannot be read"),
    ],
)
async def test_one_sentence_for_each_mistake(run, arguments: tuple[str, ...], said: str):
    done = await run("zeekfleet", *ONCE, *arguments)
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


async def test_bad_configuration_names_file_section_and_key(run, tmp_path: Path):
    (tmp_path / "bad.ini").write_text("[w]\nrole = worker\nport = many\n")
    done = await run("zeekfleet", "deploy-config", "bad.ini")
    assert done.code == 1
    assert done.stderr.startswith("error: bad.ini: section [w], key 'port': 'many' is wrong")


async def test_an_unknown_key_is_an_error_unless_it_is_only_warned_of(controller, run):
    controller.on(
        api.StageConfigurationRequest, lambda r: api.StageConfigurationResponse(r.reqid, (Result(r.reqid, data="c"),))
    )
    done = await run("zeekfleet", "--controller", f":{controller.port}", "stage-config", "-", stdin=INI + "rol = x\n")
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr == "error: standard input: section [worker], key 'rol': is unknown (did you mean 'role'?)\n"
    assert not controller.heard
    lax = ("--lax", "-")
    done = await run("zeekfleet", "--controller", f":{controller.port}", "stage-config", *lax, stdin=INI + "rol = x\n")
    assert (done.code, done.stdout) == (0, "staged configuration c\n")
    assert "warning: standard input: section [worker], key 'rol': unknown, ignored (did you mean" in done.stderr


class Raw:
    """A WebSocket server that acknowledges, then follows a script of frames for each request."""

    def __init__(self, *frames: str | None, ack: str = '{"type":"ack","endpoint":"x","version":"1"}') -> None:
        self._frames = frames
        self._ack = ack

    async def __aenter__(self) -> int:
        application = aiohttp.web.Application()
        application.router.add_get("/v1/messages/json", self._serve)
        self._runner = aiohttp.web.AppRunner(application)
        await self._runner.setup()
        site = aiohttp.web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _serve(self, request: aiohttp.web.Request) -> aiohttp.web.WebSocketResponse:
        socket = aiohttp.web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        await socket.send_str(self._ack)
        await socket.receive()
        for frame in self._frames:
            await (socket.close(code=1011, message=b"bye") if frame is None else socket.send_str(frame))
        await socket.receive()
        return socket


MISMATCH = (
    encode_event("t", api.GetInstancesResponse("r", Result("r")))
    .decode()
    .replace('"t"', '"zeek/management/controller"')
)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (Raw("{"), "invalid JSON"),
        (
            Raw('{"type":"data-message","topic":"zeek/management/controller","@data-type":"count","data":[]}'),
            "no event",
        ),
        (Raw(MISMATCH.replace('"@data-type":"boolean"', '"@data-type":"string"')), "invalid value"),
        (Raw('{"type":"error","code":"deserialization_failed","context":"what?"}'), "deserialization_failed: what?"),
        (Raw(None), "closed the connection: bye"),
        (Raw(ack="[]"), "invalid value"),
        (Raw(ack='{"type":"error","code":"invalid_uri","context":"where?"}'), "refused the handshake: invalid_uri"),
    ],
)
async def test_servers_that_misbehave(run, raw: Raw, said: str):
    async with raw as port:
        done = await run("zeekfleet", "--controller", f":{port}", *ONCE, "get-instances")
    assert (done.code, done.stdout) == (1, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


async def test_monitor_reports_until_interrupted(controller):
    process = await asyncio.create_subprocess_exec(
        str(BIN / "zeekfleet"), "--controller", f":{controller.port}", "monitor", "--json", stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        await controller.met.wait()
        controller.endpoint.publish("zeek/management/agent/a1", NotifyAlive("a1"))  # no news
        for said in ("hello", "goodbye"):
            for generation in GENERATIONS:  # as our agents do
                controller.endpoint.publish("zeek/management/agent/a1", agent.NotifyLog("a1", said, "w"), generation)
        line, next_one = [json.loads(await process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        code = await process.wait()
    assert line == {
        "topic": "zeek/management/agent/a1",
        "event": "Management::Agent::API::notify_log",
        "arguments": {"instance": "a1", "msg": "hello", "node": "w"},
    }
    assert next_one["arguments"]["msg"] == "goodbye"
    assert code == 130


async def test_a_reader_that_leaves_is_no_error(controller):
    answer_nodes(controller)
    reading, writing = os.pipe()
    os.close(reading)
    process = await asyncio.create_subprocess_exec(
        str(BIN / "zeekfleet"),
        "--controller",
        f":{controller.port}",
        "get-nodes",
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    async with asyncio.timeout(30):
        _, stderr = await process.communicate()
    assert (process.returncode, stderr) == (141, b"")


async def test_python_m_and_version(run):
    done = await run("python", "-m", "zeekfleet", "--version")
    assert done.code == 0
    assert (await run("zeekfleet", "--version")).stdout == done.stdout


def test_a_verb_imports_nothing_heavy():
    code = (
        "import sys; from zeekfleet.cli.main import main; "
        "main(['--set', 'client.peering_attempts=0', '-q', 'get-nodes']); "
        "print([m for m in ('asyncio', 'aiohttp', 'rich', 'structlog', 'prometheus_client') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_a_full_disk_is_one_sentence():
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [BIN / "zeekfleet", "show-settings"], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"error: No space left on device\n")


async def test_arguments_that_are_no_text(controller):
    process = await asyncio.create_subprocess_exec(
        str(BIN / "zeekfleet"), "--controller", f":{controller.port}", "get-id-value", b"\xff", stderr=subprocess.PIPE
    )
    async with asyncio.timeout(30):
        _, stderr = await process.communicate()
    assert process.returncode == 1
    assert b"cannot be encoded" in stderr
    assert stderr.count(b"\n") == 1
