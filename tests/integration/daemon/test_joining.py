"""An agent with a token and whoever answers where it looks for its controller."""

from __future__ import annotations

import asyncio
import functools
import shutil
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support.certificates import issue
from support.recorder import Recorder
from zeekfleet.broker import topics
from zeekfleet.broker.events.certificates import AuthorityRequest, AuthorityResponse, JoinRequest, JoinResponse
from zeekfleet.daemon import buses, joining
from zeekfleet.daemon.tls import found_files
from zeekfleet.errors import PkiError, TransportError, ZeekfleetError
from zeekfleet.pki import building, reading
from zeekfleet.pki.directory import PkiDirectory
from zeekfleet.pki.join_token import JoinToken
from zeekfleet.pki.tokens import Tokens
from zeekfleet.resolution import resolve
from zeekfleet.security.identity import Identity, PeerRole
from zeekfleet.settings import Settings
from zeekfleet.transport.bus import BusEvent, Delivery
from zeekfleet.transport.encryption import ServerTls
from zeekfleet.transport.tls import TlsFiles, server_context, try_out
from zeekfleet.transport.websocket import WebSocketBus

HOST = "127.0.0.1"
Answer = Callable[[JoinRequest], JoinResponse]


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is another host."""
    monkeypatch.setattr(joining, "is_here", lambda host: False)


@pytest.fixture
def pki(tmp_path: Path) -> PkiDirectory:
    return PkiDirectory.create(tmp_path / "pki")


@pytest.fixture
def token(pki: PkiDirectory) -> JoinToken:
    return Tokens(pki).create("a1")[0]


class Answering:
    """Somebody who speaks as a controller does."""

    def __init__(self, bus: WebSocketBus, authority: str, answer: Answer) -> None:
        self.port = 0
        self.secrets: list[str] = []
        self._bus = bus
        self._authority = authority
        self._answer = answer

    def react(self, received: BusEvent) -> None:
        match received:
            case Delivery(event=AuthorityRequest(reqid=reqid)):
                self._bus.reply(received, AuthorityResponse(reqid, self._authority), to=received.peer)
            case Delivery(event=JoinRequest() as request):
                self.secrets.append(request.secret)
                self._bus.reply(received, self._answer(request), to=received.peer)


@asynccontextmanager
async def answering(files: TlsFiles, authority: str, answer: Answer) -> AsyncIterator[Answering]:
    def door() -> ssl.SSLContext:
        context = server_context(files)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    async with WebSocketBus("controller") as bus:
        bus.subscribe(topics.CONTROLLER)
        answers = Answering(bus, authority, answer)
        policy = buses.agents_policy(and_clients=False, and_applicants=True)
        answers.port = await bus.listen(HOST, 0, policy=policy, tls=ServerTls(functools.partial(door)))
        async with Recorder(bus, answers.react):
            yield answers


def pem(pki: PkiDirectory) -> str:
    return reading.certificate_pem(pki.certificate)


def settings(state: Path, port: int, host: str = HOST) -> Settings:
    options = {"agent.controller": f"{host}:{port}", "agent.name": "a1", "common.state_dir": str(state)}
    return resolve(("common", "agent", "supervisor", "archive"), options, {}).settings


def redeeming(pki: PkiDirectory) -> Answer:
    def answer(request: JoinRequest) -> JoinResponse:
        made = Tokens(pki).redeem(request.name, request.secret, request.request, HOST)
        return JoinResponse(request.reqid, made.certificate, pki.revocation_list.read_text())

    return answer


async def refused(state: Path, answers: Answering, token: JoinToken, host: str = HOST) -> str:
    with pytest.raises(ZeekfleetError) as error:
        await asyncio.to_thread(joining.join, settings(state, answers.port, host), token)
    assert isinstance(error.value, PkiError | TransportError)
    assert not found_files(state / "pki", "agent-a1").certificate
    return str(error.value)


async def test_everything_is_where_the_agent_looks_for_it(pki: PkiDirectory, token: JoinToken, tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with answering(issue(pki, "controller/c1", HOST), pem(pki), redeeming(pki)) as answers:
        said = await asyncio.to_thread(joining.join, settings(state, answers.port), token)
    assert said.startswith(f"joined as agent/a1: {state}/pki/certificates/agent-a1.pem is valid until ")
    files = found_files(state / "pki", "agent-a1")
    assert try_out(files) == Identity(PeerRole.AGENT, "a1")
    assert files.revoked == str(state / "pki" / "crl.pem")
    assert joining.certificate_there(settings(state, 1), token).startswith(f"{files.certificate} is valid until ")
    for file in state.rglob("*"):
        assert file.stat().st_mode & 0o777 == (0o700 if file.is_dir() else 0o600), file


async def test_the_key_does_not_leave_the_host(pki: PkiDirectory, token: JoinToken, tmp_path: Path) -> None:
    asked: list[JoinRequest] = []

    def answer(request: JoinRequest) -> JoinResponse:
        asked.append(request)
        return redeeming(pki)(request)

    async with answering(issue(pki, "controller/c1", HOST), pem(pki), answer) as answers:
        await asyncio.to_thread(joining.join, settings(tmp_path / "state", answers.port), token)
    key = (tmp_path / "state" / "pki" / "certificates" / "agent-a1.key").read_text()
    assert "PRIVATE" not in str(asked)
    assert reading.public_key_of_request(asked[0].request.encode()) == reading.read_key(key.encode(), "it").public_key()


async def test_the_token_is_shown_to_nobody_else(pki: PkiDirectory, token: JoinToken, tmp_path: Path) -> None:
    """Neither to another authority, also if it shows the right certificate of ours, nor to an agent of ours."""
    foreign = PkiDirectory.create(tmp_path / "foreign")
    state = tmp_path / "state"
    for files, authority, host, sentence in (
        (issue(foreign, "controller/c1", HOST), pem(foreign), HOST, "its authority has another fingerprint"),
        (issue(foreign, "controller/c1", HOST), pem(pki), HOST, "certificate verify failed"),
        (issue(pki, "agent/a2", HOST), pem(pki), HOST, "its certificate is that of agent/a2: expected a controller's"),
        (
            issue(pki, "controller/c1", HOST),
            pem(pki),
            "localhost",
            "is not for the name or address localhost: make one",
        ),
        (issue(pki, "controller/c1", HOST), "nonsense", HOST, "this is no certificate in PEM format"),
        (issue(pki, "controller/c1", HOST), "", HOST, "this is no certificate in PEM format"),
    ):
        async with answering(files, authority, redeeming(pki)) as answers:
            assert sentence in await refused(state, answers, token, host)
        assert answers.secrets == []


async def test_what_an_answer_may_not_be(pki: PkiDirectory, token: JoinToken, tmp_path: Path) -> None:
    def certificate(name: str = "a1", request: JoinRequest | None = None, authority: PkiDirectory = pki) -> str:
        key = (
            building.make_key().public_key()
            if request is None
            else reading.public_key_of_request(request.request.encode())
        )
        return authority.issue(Identity(PeerRole.AGENT, name), (), key).certificate

    foreign = PkiDirectory.create(tmp_path / "foreign")
    no_certificate = "is not a certificate for agent/a1"
    answers: tuple[tuple[Answer, str], ...] = (
        (lambda asked: JoinResponse(asked.reqid, certificate(), ""), no_certificate),
        (lambda asked: JoinResponse(asked.reqid, certificate("a2", asked), ""), no_certificate),
        (lambda asked: JoinResponse(asked.reqid, certificate("a1", asked, foreign), ""), no_certificate),
        (lambda asked: JoinResponse(asked.reqid, "nonsense", ""), "holds no certificate in PEM format"),
        (lambda asked: JoinResponse(asked.reqid, "", "", "no\x1b[2J"), r"refuses the token: no\x1b[2J"),
    )
    for answer, sentence in answers:
        async with answering(issue(pki, "controller/c1", HOST), pem(pki), answer) as server:
            assert sentence in await refused(tmp_path / "state", server, token)


async def test_a_certificate_that_has_expired_is_replaced(pki: PkiDirectory, token: JoinToken, tmp_path: Path) -> None:
    state = tmp_path / "state"
    directory = state / "pki" / "certificates"
    directory.mkdir(mode=0o700, parents=True)
    expired = issue(pki, "agent/a1", days=-0.001)
    for file in (expired.certificate, expired.key, expired.authorities):
        shutil.copy(file, directory)
    assert joining.certificate_there(settings(state, 1), token) == ""
    async with answering(issue(pki, "controller/c1", HOST), pem(pki), redeeming(pki)) as answers:
        await asyncio.to_thread(joining.join, settings(state, answers.port), token)
    assert joining.certificate_there(settings(state, 1), token)
    assert try_out(found_files(state / "pki", "agent-a1"))


async def test_a_certificate_of_another_authority_stays_and_is_told(
    pki: PkiDirectory, token: JoinToken, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    async with answering(issue(pki, "controller/c1", HOST), pem(pki), redeeming(pki)) as answers:
        await asyncio.to_thread(joining.join, settings(state, answers.port), token)
    other = Tokens(PkiDirectory.create(tmp_path / "other")).create("a1")[0]
    there = joining.certificate_there(settings(state, 1), other)
    assert "and of another authority than the token; to use this, remove the certificate" in there
