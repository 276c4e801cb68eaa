"""Every listener of the daemons, as real processes, against peers that are broken, careless or hostile.

Each case ends the same way: an error frame or a closed connection, a line in the log where something was wrong,
and a daemon with the same pid, little more memory, and an answer for the next one who asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import secrets
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from support.daemons import Daemon, memory_of
from support.ports import free_ports
from support.raw_peer import RawPeer
from zeekfleet.broker import topics
from zeekfleet.broker.events import agent as agent_api
from zeekfleet.broker.events import controller as api
from zeekfleet.broker.events import node as node_api
from zeekfleet.broker.events import supervisor as supervisor_api
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.generations import FIRST, SECOND
from zeekfleet.broker.messages import DataMessage, ErrorMessage, decode_event, decode_message, encode_event
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node, fresh_id
from zeekfleet.model.supervisor import NodeConfig

MEBIBYTE = 2**20
FRAME_LIMIT = 4 * MEBIBYTE
ROOM = 160 * MEBIBYTE
"""What a daemon may have more than before, after a case: its queues' limits, and what the allocator keeps."""

AGENT = "a1"


class Peer(RawPeer):
    """A raw peer over TCP or a unix socket."""

    def __init__(self, place: int | Path) -> None:
        super().__init__(place if isinstance(place, int) else 0)
        self._place = place

    async def __aenter__(self) -> Self:
        if isinstance(self._place, int):
            return await super().__aenter__()
        self._reader, self._writer = await asyncio.open_unix_connection(str(self._place), limit=2**26)
        return self

    async def heard(self, kind: type[Event], **fields: object) -> Event:
        """The next event of that class with these fields, within twenty seconds."""
        async with asyncio.timeout(20):
            while True:
                message = decode_message(json.dumps(await self.message()))
                if isinstance(message, DataMessage):
                    event, _ = decode_event(message)
                    if isinstance(event, kind) and all(getattr(event, key) == value for key, value in fields.items()):
                        return event

    async def error(self) -> str:
        """The code of the next error frame."""
        async with asyncio.timeout(20):
            while (message := await self.message())["type"] != "error":
                continue
        return str(message["code"])


class Listener:
    """One place where peers come in.

    Attributes:
        place: port or socket.
        topic: what its peers use.
        forbidden: what they may not publish on.
        request: something they may send, and the event that answers it; None where nothing is answered.
        log: says what goes wrong there.
        pid: of the process that serves it.
    """

    def __init__(
        self,
        name: str,
        place: int | Path,
        topic: str,
        forbidden: str,
        request: Callable[[], Event] | None,
        log: Callable[[], str],
        pid: int,
        hears: str = "",
    ) -> None:
        self.name = name
        self.place = place
        self.topic = topic
        self.hears = hears or topic
        self.forbidden = forbidden
        self.request = request
        self.log = log
        self.pid = pid

    def peer(self) -> Peer:
        return Peer(self.place)

    async def serves(self) -> None:
        """The next client gets its acknowledgement, and an answer where there is one."""
        async with self.peer() as peer:
            assert (await peer.subscribe(self.hears))["type"] == "ack"
            if self.request is not None:
                request = self.request()
                peer.text(encode_event(self.topic, request))
                assert request.response is not None
                await peer.heard(request.response, reqid=getattr(request, "reqid", None))


class House:
    """A controller, and an agent with its tree and two nodes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clients, self.agents, self.agent_port, self.supervisor_port = free_ports(4)
        self.controller = Daemon(
            root / "controller-output",
            "controller", "--name", "c", "--state-dir", str(root / "controller"), "--spool-dir", str(root / "spool"),
            "--websocket-port", str(self.clients), "--port", str(self.agents), "--frame-limit", str(FRAME_LIMIT),
            "--request-timeout", "5", "--auto-assign-metrics-ports", "no", "--first-generation-clients", "yes",
        )  # fmt: skip
        self.agent = Daemon(
            root / "agent-output",
            "agent", "--name", AGENT, "--state-dir", str(root / "agent"), "--spool-dir", str(root / "spool"),
            "--port", str(self.agent_port), "--supervisor-port", str(self.supervisor_port), "--engine", "sim",
            "--controller", f"127.0.0.1:{self.agents}", "--frame-limit", str(FRAME_LIMIT),
        )  # fmt: skip
        self.pids: dict[str, int] = {}

    @property
    def agent_directory(self) -> Path:
        return self.root / "agent" / "nodes" / AGENT

    async def bring_up(self) -> None:
        """Deploy two nodes."""
        nodes = [Node(name, AGENT, ClusterRole.WORKER, State.RUNNING) for name in ("w1", "w2")]
        async with Peer(self.clients) as peer:
            await peer.subscribe(topics.CONTROLLER)
            peer.text(
                encode_event(
                    topics.CONTROLLER,
                    api.StageConfigurationRequest("s", Configuration("first", (Instance(AGENT),), tuple(nodes))),
                )
            )
            await peer.heard(api.StageConfigurationResponse, reqid="s")
            peer.text(encode_event(topics.CONTROLLER, api.DeployRequest("d")))
            response = await peer.heard(api.DeployResponse, reqid="d")
        assert isinstance(response, api.DeployResponse)
        assert all(result.success for result in response.results), response
        self.pids = await self.running()

    async def running(self) -> dict[str, int]:
        """Pids of all the supervisor has, as it tells itself."""
        async with Peer(self.supervisor_port) as peer:
            await peer.subscribe(topics.SUPERVISOR)
            peer.text(encode_event(topics.SUPERVISOR, supervisor_api.StatusRequest(reqid := fresh_id())))
            response = await peer.heard(supervisor_api.StatusResponse, reqid=reqid)
        assert isinstance(response, supervisor_api.StatusResponse)
        return {name: status.pid or 0 for name, status in response.result.nodes.items()}

    async def check(self) -> None:
        """Everybody is there and nobody was restarted; the controller reaches the agent and it its nodes."""
        assert self.controller.alive
        assert self.agent.alive
        assert await self.running() == self.pids
        async with Peer(self.clients) as peer:
            await peer.subscribe(topics.CONTROLLER)
            peer.text(encode_event(topics.CONTROLLER, api.GetIdValueRequest(reqid := fresh_id(), "bits_per_uid")))
            response = await peer.heard(api.GetIdValueResponse, reqid=reqid)
        assert isinstance(response, api.GetIdValueResponse)
        assert {result.node for result in response.results if result.success} == {"w1", "w2"}, response

    def listeners(self) -> dict[str, Listener]:
        def agent_log() -> str:
            return (self.agent_directory / "stderr").read_text(errors="replace")

        agent_pid = self.pids[AGENT]
        own = topics.agent(AGENT)
        return {
            "clients": Listener(
                "clients", self.clients, topics.CONTROLLER, own, lambda: api.GetInstancesRequest(fresh_id()),
                lambda: self.controller.stderr, self.controller.pid,
            ),
            "agents": Listener(
                "agents", self.agents, topics.CONTROLLER, topics.NODE, lambda: api.GetInstancesRequest(fresh_id()),
                lambda: self.controller.stderr, self.controller.pid,
            ),
            "agent": Listener(
                "agent", self.agent_port, own, topics.agent("b"), lambda: agent_api.GetNodesRequest(fresh_id()),
                agent_log, agent_pid,
            ),
            "nodes": Listener(
                "nodes", self.agent_directory / "agent.sock", topics.NODE, own, None, agent_log, agent_pid,
            ),
            "supervisor": Listener(
                "supervisor", self.supervisor_port, topics.SUPERVISOR, own,
                lambda: supervisor_api.StatusRequest(fresh_id(), "nobody"), lambda: self.agent.stderr, self.agent.pid,
            ),
        }  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"))
    with house.controller, house.agent:
        house.controller.ready()
        house.agent.ready()
        asyncio.run(house.bring_up())
        yield house
        assert house.agent.stop() == 0
        assert house.controller.stop() == 0
    for text in (house.controller.stderr, house.agent.stderr):
        assert "Traceback" not in text


@pytest.fixture(params=["clients", "agents", "agent", "nodes", "supervisor"])
def listener(house: House, request: pytest.FixtureRequest) -> Listener:
    return house.listeners()[request.param]


def survive(house: House, listener: Listener, case: Coroutine[Any, Any, None]) -> None:
    """Run a case; afterwards all is as before."""
    before = memory_of(listener.pid)

    async def run() -> None:
        async with asyncio.timeout(100):
            await case
            await listener.serves()
            await house.check()

    asyncio.run(run())
    assert memory_of(listener.pid) - before < ROOM


# --- frames


def valid_frames(topic: str) -> list[bytes]:
    """Some of what a listener may see, on its topic."""
    configuration = Configuration("fuzz", (Instance("i"),), (Node("n", "i", ClusterRole.WORKER, State.PENDING),))
    requests: list[Event] = [
        api.GetInstancesRequest("r"),
        api.GetConfigurationRequest("r", True),
        agent_api.NotifyAgentHello("fuzz", "id", True, 1),
        agent_api.NotifyLog("fuzz", "text", ""),
        agent_api.GetNodesRequest("r"),
        node_api.NotifyNodeHello("fuzz"),
        supervisor_api.StatusRequest("r", "fuzz"),
        api.StageConfigurationResponse("r", ()),
    ]
    frames = [encode_event(topic, event) for event in requests]
    frames.append(encode_event(topics.NODE_EXITS, api.StageConfigurationRequest("r", configuration)))
    frames.append(
        encode_event(topic, agent_api.FirstNotifyAgentHello("fuzz", configuration.instances[0].host, 1), FIRST)
    )
    return frames


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
TAGGED = st.fixed_dictionaries(
    {"@data-type": st.sampled_from(["vector", "count", "string", "set", "table", "port", "none", "x"]), "data": JSON}
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid frame with a few bytes changed, lost or doubled."""
    frame = bytearray(draw(st.sampled_from(valid_frames("zeek/management/fuzz"))))
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, len(frame) - 1))
        match draw(st.integers(0, 2)):
            case 0:
                frame[place] = draw(st.integers(0, 255))
            case 1:
                del frame[place : place + draw(st.integers(1, 40))]
            case _:
                frame[place:place] = frame[place : place + draw(st.integers(1, 40))]
        if not frame:
            break
    return bytes(frame)


NESTED = st.integers(1000, 200_000).map(lambda depth: b"[" * depth)
FRAME = (
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | TAGGED.map(lambda value: json.dumps({"type": "data-message", "topic": "zeek", **value}).encode())
    | mutated()
    | NESTED
)
FRAMES = st.lists(st.tuples(st.sampled_from([0x1, 0x1, 0x1, 0x2, 0x0, 0x3, 0x9, 0xA]), FRAME), min_size=1, max_size=12)

hostile = settings(
    max_examples=60,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@hostile
@given(subscribed=st.booleans(), frames=FRAMES)
def test_random_and_mutated_frames(
    house: House, listener: Listener, subscribed: bool, frames: list[tuple[int, bytes]]
) -> None:
    async def case() -> None:
        async with listener.peer() as peer:
            if subscribed:
                await peer.subscribe(listener.hears)
            else:
                await peer.upgrade()
            for opcode, frame in frames:
                peer.text(frame, opcode)
            peer.text(b"no JSON")  # answered in its turn, unless the connection was closed for something before
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                async with asyncio.timeout(20):
                    await peer.error()
        await listener.serves()

    asyncio.run(case())
    assert house.controller.alive
    assert house.agent.alive


@hostile
@given(data=st.binary(min_size=1, max_size=400))
def test_random_bytes_instead_of_http_and_of_frames(house: House, listener: Listener, data: bytes) -> None:
    async def case() -> None:
        async with listener.peer() as peer:
            peer.raw(data + b"\r\n\r\n")
            peer.writer.write_eof()
            await peer.ended()
        async with listener.peer() as peer:
            await peer.subscribe(listener.hears)
            peer.raw(data)
            peer.writer.write_eof()
            await peer.ended()
        await listener.serves()

    asyncio.run(case())
    assert house.controller.alive
    assert house.agent.alive


def test_frames_in_the_hundred_thousands(house: House, listener: Listener) -> None:
    """What cannot be understood is answered; the log does not grow with it."""

    async def case() -> None:
        before = len(listener.log())
        async with listener.peer() as peer:
            await peer.subscribe(listener.hears)
            for _ in range(100):
                for _ in range(200):
                    peer.text(b'{"type":"data-message"')
                for _ in range(200):
                    assert await peer.error() == "deserialization_failed"
        await listener.serves()
        told = listener.log()[before:]
        assert "deserialization_failed" in told
        assert len(told) < 100_000

    survive(house, listener, case())


# --- connections


def test_half_a_handshake(house: House) -> None:
    """Three kinds of silence, fifty times each, everywhere at once: let go at the deadline, others served meanwhile."""
    listeners = house.listeners().values()

    async def silent(listener: Listener, stage: int) -> None:
        async with listener.peer() as peer:
            if stage == 1:
                peer.raw(b"GET /v1/messages/json HTTP/1.1\r\nHost: x\r\nUpgra")
            if stage == 2:
                await peer.upgrade()
            async with asyncio.timeout(40):
                await peer.reader.read(-1)

    async def case() -> None:
        async with asyncio.TaskGroup() as group:
            for listener in listeners:
                for stage in range(3):
                    for _ in range(50):
                        group.create_task(silent(listener, stage))
            for listener in listeners:
                await listener.serves()

    for listener in listeners:
        survive(house, listener, case() if listener.name == "clients" else listener.serves())


def test_wrong_path_plain_http_and_bad_names(house: House, listener: Listener) -> None:
    async def case() -> None:
        async with listener.peer() as peer:
            assert " 101 " in await peer.upgrade("/v1/other")
            assert await peer.error() == "invalid_uri"
            assert await peer.close_code() == 1008
        assert "invalid_uri" in listener.log()
        async with listener.peer() as peer:
            await peer.upgrade(X_Application_Name="no spaces allowed")
            assert await peer.error() == "invalid_application_name"
            assert await peer.close_code() == 1008
        for request in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /v1/messages/json HTTP/1.0\r\n\r\n"):
            async with listener.peer() as peer:
                peer.raw(request)
                assert b" 404 " in (await peer.ended()).split(b"\r\n")[0]
        async with listener.peer() as peer:
            peer.raw(b"GET /" + b"x" * 100_000)
            assert b" 400 " in (await peer.ended()).split(b"\r\n")[0]

    survive(house, listener, case())


def test_frame_over_the_limit(house: House, listener: Listener) -> None:
    async def case() -> None:
        async with listener.peer() as peer:
            await peer.subscribe(listener.hears)
            with contextlib.suppress(ConnectionError):
                peer.text(b'"' + b"x" * (FRAME_LIMIT + 1) + b'"')
                assert await peer.close_code() == 1009
        async with listener.peer() as peer:  # announced only, and never sent
            await peer.subscribe(listener.hears)
            peer.raw(b"\x81\xff" + (2**62).to_bytes(8, "big") + b"mask")
            assert await peer.close_code() in (1009, 1002)
        async with listener.peer() as peer:  # by many fragments
            await peer.subscribe(listener.hears)
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                for number in range(100):
                    peer.raw(_fragment(b"x" * 100_000, first=number == 0))
                assert await peer.close_code() == 1009
        await listener.serves()
        assert "1009" in listener.log() or "too big" in listener.log() or "size" in listener.log()

    survive(house, listener, case())


def _fragment(payload: bytes, first: bool) -> bytes:
    return bytes([0x01 if first else 0x00, 0xFF]) + len(payload).to_bytes(8, "big") + b"\0\0\0\0" + payload


def test_drops_in_mid_request(house: House, listener: Listener) -> None:
    """Two hundred times: gone with a frame half sent, or before the answer."""

    async def case() -> None:
        for number in range(200):
            async with listener.peer() as peer:
                await peer.subscribe(listener.hears)
                event = listener.request() if listener.request else node_api.NotifyNodeHello("nobody")
                frame = encode_event(listener.topic, event)
                if number % 2:
                    peer.raw(b"\x81\xfe" + len(frame).to_bytes(2, "big") + b"\0\0\0\0" + frame[: len(frame) // 2])
                else:
                    peer.text(frame)

    survive(house, listener, case())


def test_ten_thousand_subscriptions(house: House, listener: Listener) -> None:
    async def case() -> None:
        async with listener.peer() as peer:
            await peer.upgrade()
            peer.text(json.dumps([f"{listener.hears}/{number}" for number in range(10_000)]))
            assert await peer.error() == "deserialization_failed"
            peer.text(json.dumps([f"{listener.hears}/{number}" for number in range(1_000)]))
            assert (await peer.message())["type"] == "ack"
        assert "10000 subscriptions" in listener.log()

    survive(house, listener, case())


# --- what is well-formed, and wrong


def test_wrong_arguments(house: House, listener: Listener) -> None:
    """An event's name with arguments that are not its own: an error frame each, and the connection lives on."""
    name = "Management::Controller::API::stage_configuration_request"
    arguments: list[list[dict[str, object]]] = [
        [],
        [{"@data-type": "count", "data": 5}],
        [{"@data-type": "string", "data": "r"}, {"@data-type": "string", "data": "no record"}],
        [{"@data-type": "string", "data": "r"}, {"@data-type": "vector", "data": [{"@data-type": "count", "data": 1}]}],
        [{"@data-type": "string", "data": "r"}, {"@data-type": "none", "data": {}}],
    ]

    async def case() -> None:
        async with listener.peer() as peer:
            await peer.subscribe(listener.hears)
            for wrong in arguments:
                content = [{"@data-type": "string", "data": name}, {"@data-type": "vector", "data": wrong}]
                one = {"@data-type": "count", "data": 1}
                event = [one, one, {"@data-type": "vector", "data": content}]
                peer.text(
                    json.dumps({"type": "data-message", "topic": listener.topic, "@data-type": "vector", "data": event})
                )
                assert await peer.error() == "deserialization_failed"
        assert name in listener.log()

    survive(house, listener, case())


def test_forbidden_topics(house: House, listener: Listener) -> None:
    """An error frame; nobody else hears of it."""

    async def case() -> None:
        async with listener.peer() as peer:
            ack = await peer.subscribe("")
            while ack["type"] != "ack":
                ack = await peer.message()
            peer.text(encode_event(listener.forbidden, agent_api.NotifyLog("x", "y", "")))
            assert await peer.error() == "topic_forbidden"
        assert "topic_forbidden" in listener.log()

    survive(house, listener, case())


def test_events_that_are_no_request_there(house: House, listener: Listener) -> None:
    """Answers nobody asked for, notifications of strangers, unknown events: heard, and nothing comes of it."""

    async def case() -> None:
        async with listener.peer() as peer:
            await peer.subscribe(listener.hears)
            for frame in valid_frames(listener.topic)[3:8]:
                for _ in range(50):
                    peer.text(frame)
            peer.text(b"no JSON")
            while (code := await peer.error()) != "deserialization_failed":
                assert code == "topic_forbidden"  # only where peers may answer

    survive(house, listener, case())


def test_a_reader_that_never_reads(house: House, listener: Listener) -> None:
    """It asks and asks, and is cut off before memory grows; another one is answered all the time."""

    before = listener.log().count("does not read")

    async def case() -> None:
        async with listener.peer() as deaf:
            await deaf.subscribe(listener.hears)
            deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
            long = secrets.token_hex(250_000)
            request = None if listener.request is None else type(listener.request())(long)
            frame = encode_event(listener.topic, request or agent_api.NotifyLog("nobody", long, ""))
            with contextlib.suppress(ConnectionError):
                for _ in itertools.count() if request else range(150):  # until it is cut off
                    deaf.text(frame)
                    await deaf.writer.drain()
        assert (listener.log().count("does not read") > before) == (request is not None)

    survive(house, listener, case())


# --- requests


def test_requests_of_a_peer_that_is_not_the_controller(house: House) -> None:
    """What a peer at the agents' port asks of agents, of this one and of those named alike, reaches none of them."""
    listener = house.listeners()["agents"]

    async def case() -> None:
        async with listener.peer() as peer:
            await peer.subscribe(topics.AGENT_PREFIX, topics.CONTROLLER)
            for name in ("a10", "a", "", "a1/x", "A1", AGENT):
                peer.text(encode_event(topics.agent(name), agent_api.AgentStandbyRequest("other")))
                peer.text(encode_event(topics.agent(name), agent_api.GetNodesRequest("other")))
            peer.text(encode_event(topics.CONTROLLER, api.GetNodesRequest("own")))  # the agent's answer comes after all
            while True:
                message = decode_message(json.dumps(await peer.message()))
                if isinstance(message, ErrorMessage):
                    assert message.code == "topic_forbidden"
                    continue
                assert isinstance(message, DataMessage)
                event, _ = decode_event(message)
                assert getattr(event, "reqid", "") != "other"
                if isinstance(event, api.GetNodesResponse) and event.reqid == "own":
                    break

    survive(house, listener, case())


def test_hellos_in_another_name(house: House) -> None:
    """An agent speaks for itself, on its own topic, under a name that is one."""
    listener = house.listeners()["agents"]

    async def case() -> None:
        async with listener.peer() as peer:
            await peer.subscribe(topics.AGENT_PREFIX, topics.CONTROLLER)
            for name in (AGENT, "../x", "", "x" * 300, "a\0b", "a b"):
                hello = agent_api.NotifyAgentHello(name, "id", True, 1)
                peer.text(encode_event(topics.agent("stranger"), hello))
                if name != AGENT:
                    peer.text(encode_event(topics.agent(name), hello))
            peer.text(encode_event(topics.agent("other"), agent_api.NotifyAgentHello("other", "id", True, 99)))
            peer.text(encode_event(topics.CONTROLLER, api.GetInstancesRequest("who")))
            response = await peer.heard(api.GetInstancesResponse, reqid="who")
            assert isinstance(response, api.GetInstancesResponse)
            known = SECOND.codec.sequence_from_value(response.result.data, Instance)
            assert [instance.name for instance in known] == [AGENT]

    survive(house, listener, case())


def test_duplicate_and_replayed_requests(house: House) -> None:
    """The same frames again and again, at once and later: each has its answer, nothing is done twice."""
    listener = house.listeners()["clients"]

    async def case() -> None:
        async with listener.peer() as peer:
            await peer.subscribe(topics.CONTROLLER)
            staging = api.StageConfigurationRequest("s", _first())
            peer.text(encode_event(topics.CONTROLLER, staging))
            await peer.heard(api.StageConfigurationResponse, reqid="s")
            for request in (api.DeployRequest("same"), api.GetNodesRequest("same"), api.DeployRequest("")):
                frame = encode_event(topics.CONTROLLER, request)
                for _ in range(20):
                    peer.text(frame)
                assert request.response is not None
                for _ in range(20):
                    response = await peer.heard(request.response, reqid=request.reqid)
                    for result in getattr(response, "results"):  # noqa: B009 - all of these have some
                        assert result.success or "still pending" in result.error, result
            peer.text(encode_event(topics.CONTROLLER, agent_api.DeployResponse("same", ())))

    survive(house, listener, case())


def test_floods_of_requests(house: House) -> None:
    """More requests than can be worked on: what is beyond the limit is refused, and told once."""
    listener = house.listeners()["clients"]

    async def case() -> None:
        async with listener.peer() as peer:
            await peer.subscribe(topics.CONTROLLER)
            for number in range(2_000):
                peer.text(encode_event(topics.CONTROLLER, api.TestTimeoutRequest(str(number), True)))
                await peer.writer.drain()
            peer.text(encode_event(topics.CONTROLLER, api.GetInstancesRequest("who")))
            await peer.heard(api.GetInstancesResponse, reqid="who")
            assert listener.log().count("what comes beyond is refused") == 1
            async with listener.peer() as other:  # whose requests are not those that are too many
                await other.subscribe(topics.CONTROLLER)
                other.text(encode_event(topics.CONTROLLER, api.GetConfigurationRequest("other", True)))
                await other.heard(api.GetConfigurationResponse, reqid="other")
            await peer.heard(api.TestTimeoutResponse, reqid="63")

    survive(house, listener, case())


HOSTILE_NAMES = ["../x", "", "x" * 300, "a\0b", ".", "..", "/etc/x", "a b", "a\nb", "-", "\N{SNOWMAN}" * 100]


def test_hostile_names_are_refused_by_the_controller(house: House) -> None:
    listener = house.listeners()["clients"]

    async def case() -> None:
        async with listener.peer() as peer:
            await peer.subscribe(topics.CONTROLLER)
            for name in HOSTILE_NAMES:
                if name == "-":
                    continue
                for configuration in (
                    Configuration("x", (Instance(AGENT),), (_worker(name),)),
                    Configuration("x", (Instance(name),), ()),
                ):
                    request = api.StageConfigurationRequest(reqid := fresh_id(), configuration)
                    peer.text(encode_event(topics.CONTROLLER, request))
                    response = await peer.heard(api.StageConfigurationResponse, reqid=reqid)
                    assert isinstance(response, api.StageConfigurationResponse)
                    assert not any(result.success for result in response.results), name

    survive(house, listener, case())


def _worker(name: str, **fields: Any) -> Node:
    return Node(name, AGENT, ClusterRole.WORKER, State.RUNNING, **fields)


def test_orders_of_others_than_its_controller_at_the_agent(house: House) -> None:
    """An agent that has a controller is told what to do by nobody else, and tells by whom it is held."""
    listener = house.listeners()["agent"]
    order = Configuration("strange", (Instance(AGENT),), (_worker("stranger"),))

    async def case() -> None:
        async with listener.peer() as peer:
            await peer.subscribe(listener.hears)
            for request in (
                agent_api.DeployRequest("d", order, True),
                agent_api.RestartRequest("r"),
                agent_api.AgentStandbyRequest("s"),
                agent_api.AgentWelcomeRequest("w"),
            ):
                peer.text(encode_event(listener.topic, request))
                assert request.response is not None
                answer = await peer.heard(request.response, reqid=request.reqid)
                results = getattr(answer, "results", None) or (getattr(answer, "result"),)  # noqa: B009 - of four classes
                (result,) = results
                assert not result.success
                assert "held by controller 'c' at 127.0.0.1" in result.error

    survive(house, listener, case())
    assert "are refused: instance a1: held by controller 'c'" in listener.log()


def test_hostile_nodes_at_the_agent(tmp_path: Path) -> None:
    """By the agent's own port no controller has looked first: what cannot be fails alone, nothing is made outside."""
    (port,) = free_ports(1)
    root = tmp_path / "root"
    arguments = (
        "--state-dir",
        str(root / "agent"),
        "--spool-dir",
        str(root / "spool"),
        "--log-dir",
        str(tmp_path / "logs"),
    )
    daemon = Daemon(
        tmp_path / "output", "agent", "--name", AGENT, *arguments, "--engine", "sim",
        "--port", str(port), "--supervisor-port", "0", "--controller", "none",
    )  # fmt: skip

    async def case() -> None:
        nodes = [_worker(name) for name in HOSTILE_NAMES if name != "-"]
        nodes += [
            _worker("nul", env={"A": "b\0c"}),
            _worker("equals", env={"A=B": "c", "": "d"}),
            _worker("mark", env={"ZEEK_MANAGEMENT_NODE": "AGENT"}),
            _worker("script", scripts=("\0", "../../x")),
            _worker("cpu", cpu_affinity=10**9),
            _worker("w1"),
            _worker("w2"),
        ]
        async with Peer(port) as peer:
            await peer.subscribe(topics.agent(AGENT))
            configuration = Configuration("hostile", (Instance(AGENT),), tuple(nodes))
            peer.text(encode_event(topics.agent(AGENT), agent_api.DeployRequest("h", configuration)))
            response = await peer.heard(agent_api.DeployResponse, reqid="h")
            assert isinstance(response, agent_api.DeployResponse)
            outcome = {result.node: result.success for result in response.results if result.node is not None}
            for name in (name for name in HOSTILE_NAMES if name != "-"):
                assert outcome[name] is False, name
            assert outcome["nul"] is False
            assert outcome["mark"] is True
            peer.text(encode_event(topics.agent(AGENT), agent_api.DeployRequest("b", _first())))
            response = await peer.heard(agent_api.DeployResponse, reqid="b")
            assert isinstance(response, agent_api.DeployResponse)
            assert {result.node for result in response.results if result.success} == {"w1", "w2"}

    with daemon:
        daemon.ready()
        asyncio.run(asyncio.wait_for(case(), 100))
        assert {path.name for path in root.iterdir()} <= {"agent", "spool"}
        assert not (root / "agent" / "x").exists()
        assert daemon.stop() == 0
    assert "Traceback" not in daemon.stderr
    assert not Path("/etc/x").exists()


def _first() -> Configuration:
    return Configuration(fresh_id(), (Instance(AGENT),), (_worker("w1"), _worker("w2")))


def test_hostile_nodes_at_the_supervisor(house: House) -> None:
    listener = house.listeners()["supervisor"]

    async def case() -> None:
        async with listener.peer() as peer:
            await peer.subscribe(topics.SUPERVISOR)
            for config in (
                *(NodeConfig(name) for name in ("", "a b", "a\0b", "x" * 300)),
                NodeConfig("nul-1", env={"A": "b\0c"}),
                NodeConfig("nul-2", directory="a\0b"),
                NodeConfig("nul-3", stdout_file="a\0b"),
                NodeConfig("file", directory="/dev/null/x"),
                NodeConfig("both", interface="a", pcap_file="b"),
            ):
                peer.text(encode_event(topics.SUPERVISOR, supervisor_api.CreateRequest(reqid := fresh_id(), config)))
                response = await peer.heard(supervisor_api.CreateResponse, reqid=reqid)
                assert isinstance(response, supervisor_api.CreateResponse)
                assert response.result, config
            # What is only found out at the start is created, fails, and can be destroyed.
            lost = NodeConfig("lost", stdout_file="/proc/nowhere/stdout")
            peer.text(encode_event(topics.SUPERVISOR, supervisor_api.CreateRequest("c", lost)))
            await peer.heard(supervisor_api.CreateResponse, reqid="c")
            peer.text(encode_event(topics.SUPERVISOR, supervisor_api.DestroyRequest("l", "lost")))
            await peer.heard(supervisor_api.DestroyResponse, reqid="l")
            for request in (supervisor_api.DestroyRequest("d", "nobody"), supervisor_api.RestartRequest("r", "a\0b")):
                peer.text(encode_event(topics.SUPERVISOR, request))
                answer = await peer.heard(request.response or Event, reqid=request.reqid)
                assert getattr(answer, "result") is False  # noqa: B009 - of two classes

    survive(house, listener, case())


def test_huge_configurations(house: House) -> None:
    """Five thousand nodes are staged and given back; a hundred thousand letters of name are not."""
    listener = house.listeners()["clients"]

    async def case() -> None:
        nodes = tuple(_worker(f"worker-{number:04}", env={"NUMBER": str(number)}) for number in range(5000))
        huge = Configuration("huge", (Instance(AGENT),), nodes)
        async with listener.peer() as peer:
            await peer.subscribe(topics.CONTROLLER)
            for _ in range(3):
                peer.text(encode_event(topics.CONTROLLER, api.StageConfigurationRequest(reqid := fresh_id(), huge)))
                response = await peer.heard(api.StageConfigurationResponse, reqid=reqid)
                assert isinstance(response, api.StageConfigurationResponse)
                assert [result.success for result in response.results] == [True]
            peer.text(encode_event(topics.CONTROLLER, api.GetConfigurationRequest("g", False)))
            got = await peer.heard(api.GetConfigurationResponse, reqid="g")
            assert isinstance(got, api.GetConfigurationResponse)
            assert SECOND.codec.from_value(got.result.data, Configuration) == huge
            twice = Configuration(
                "twice", (Instance(AGENT),), nodes[:2500] + tuple(_worker(node.name) for node in nodes[:2500])
            )
            peer.text(encode_event(topics.CONTROLLER, api.StageConfigurationRequest("t", twice)))
            response = await peer.heard(api.StageConfigurationResponse, reqid="t")
            assert isinstance(response, api.StageConfigurationResponse)
            assert len(response.results) == 2500
            assert "multiple nodes named" in (response.results[0].error or "")

    survive(house, listener, case())
