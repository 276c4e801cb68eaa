"""What a controller answers to those who want certificates, and what an agent makes of that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from support.waiting import News
from zeekfleet.agent.certificates import Certificates as AgentsCertificates
from zeekfleet.broker import topics
from zeekfleet.broker.events.base import Event, Request, Response
from zeekfleet.broker.events.certificates import (
    AuthorityRequest,
    JoinRequest,
    RenewalRequest,
    RenewalResponse,
    RevokedCertificates,
)
from zeekfleet.broker.generations import SECOND
from zeekfleet.controller import certificates as module
from zeekfleet.controller.certificates import CANNOT, NOBODY_SIGNS, TOO_OFTEN, Certificates
from zeekfleet.daemon.signing import LocalSigner, signer_of
from zeekfleet.errors import JoinRefusedError, PkiError, RequestFailedError
from zeekfleet.pki import building, reading
from zeekfleet.pki.directory import PkiDirectory
from zeekfleet.pki.tokens import Tokens
from zeekfleet.security.identity import Identity, PeerRole
from zeekfleet.transport.bus import Delivery, Peer
from zeekfleet.transport.service import Context

AGENT = Identity(PeerRole.AGENT, "a1")
CONTROLLER = Identity(PeerRole.CONTROLLER, "c1")


def peer(number: int = 1, identity: Identity | None = AGENT, host: str = "192.0.2.7") -> Peer:
    return Peer(number, "", host, f"{host}:4711", identity=identity)


class Wire:
    """A bus that keeps what is said on it, and gives the answers that it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Event, Peer | None]] = []
        self.news = News()
        self.answer: Callable[[Any], Response] = lambda request: RenewalResponse(request.reqid, "new")

    def publish(self, topic: str, event: Event, generation: object = SECOND, *, to: Peer | None = None) -> None:
        self.said.append((topic, event, to))
        self.news.notify()

    def reply(self, delivery: Delivery, response: Response, *, to: Peer | None = None) -> None:
        self.publish(delivery.topic, response, to=to)

    async def request(self, topic: str, event: Request[Any], timeout: float, *, to: Peer | None = None) -> Response:
        self.publish(topic, event, to=to)
        return self.answer(event)

    async def last(self, count: int = 1) -> Any:
        await self.news.until(lambda: len(self.said) >= count)
        return self.said[-1][1]


class Signer:
    """An authority that does as it is told."""

    def __init__(self) -> None:
        self.problem: Exception | None = None
        self.asked: list[tuple[object, ...]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def _do(self, *what: object) -> None:
        self.asked.append(what)
        await self.may_answer.wait()
        if self.problem is not None:
            raise self.problem

    async def authority(self) -> str:
        await self._do("authority")
        return "ca"

    async def join(
        self, name: str, secret: str, request: str, address: str, is_taken: Callable[[], bool]
    ) -> tuple[str, str]:
        await self._do("join", name, secret, request, address, is_taken())
        return "certificate", "list"

    async def renew(self, owner: Identity, certificate: str) -> str:
        await self._do("renew", owner, certificate)
        return "renewed"


class Scene:
    """A controller's part of it."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.wire, self.signer = Wire(), Signer()
        self.revoked, self.connected = "the list", {"there"}
        self.tasks = tasks
        self.certificates = self.with_signer(self.signer)

    def with_signer(self, signer: Any) -> Certificates:
        return Certificates(
            self.wire,  # type: ignore[arg-type]
            signer,
            lambda: self.revoked,
            self.connected.__contains__,
            self.tasks,
        )

    async def join(self, host: str = "192.0.2.7", name: str = "a1", request: str = "csr") -> tuple[str, str, str]:
        asked = JoinRequest("r", name, "secret", request)
        answer = await self.certificates.join(asked, Context(peer(identity=None, host=host)))
        return answer.certificate, answer.revoked, answer.error

    async def renew(self, source: Peer, instance: str = "a1", certificate: str = "present") -> RenewalResponse:
        request = RenewalRequest("r", instance, certificate)
        count = len(self.wire.said)
        await self.certificates.hear(Delivery(topics.agent(instance), request, SECOND, source))
        answer: RenewalResponse = await self.wire.last(count + 1)
        assert self.wire.said[-1] == (topics.agent(instance), answer, source)
        return answer


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with asyncio.TaskGroup() as tasks:
        yield Scene(tasks)


async def test_an_applicant_gets_its_certificate(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    answer = await scene.certificates.authority(AuthorityRequest("r"), Context(peer(identity=None)))
    assert (answer.certificate, answer.error) == ("ca", "")
    assert await scene.join() == ("certificate", "list", "")
    assert scene.signer.asked[-1] == ("join", "a1", "secret", "csr", "192.0.2.7", False)
    assert "agent 'a1' at 192.0.2.7 has got its certificate for a token" in caplog.text
    assert await scene.join(name="there")
    assert scene.signer.asked[-1][-1] is True


async def test_a_refusal_tells_the_log_more_than_the_applicant(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.signer.problem = JoinRefusedError("the token has expired on MONDAY")
    assert await scene.join(name="a1\x1b[2J") == ("", "", scene.signer.problem.answer)
    assert "an agent at 192.0.2.7 may not join as 'a1\\x1b[2J': the token has expired on MONDAY" in caplog.text
    scene.signer.problem = PkiError("/var/lib/secret cannot be written: No space left on device")
    assert await scene.join() == ("", "", CANNOT)
    assert "No space left on device" in caplog.text
    answer = await scene.certificates.authority(AuthorityRequest("r"), Context(peer(identity=None)))
    assert (answer.certificate, answer.error) == ("", CANNOT)
    assert "secret" not in CANNOT


async def test_an_address_cannot_fail_again_and_again(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.signer.problem = JoinRefusedError("wrong")
    for _ in range(module.ATTEMPTS_AT_ONCE):
        assert (await scene.join("2001:db8::1"))[2] == scene.signer.problem.answer
    asked = len(scene.signer.asked)
    # Whoever has one IPv6 address has its whole network.
    assert (await scene.join("2001:db8::2"))[2] == TOO_OFTEN
    assert len(scene.signer.asked) == asked
    scene.signer.problem = None
    assert (await scene.join("192.0.2.8"))[0] == "certificate"
    assert caplog.text.count(": wrong") == 1


async def test_hosts_behind_one_address_may_join_one_after_another(scene: Scene) -> None:
    for _ in range(3 * module.ATTEMPTS_AT_ONCE):
        assert (await scene.join())[0] == "certificate"


async def test_few_certificates_are_made_at_a_time(scene: Scene) -> None:
    scene.signer.may_answer.clear()
    attempts = [asyncio.create_task(scene.join(f"192.0.2.{number}")) for number in range(20)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(scene.signer.asked) == module.AT_A_TIME
    scene.signer.may_answer.set()
    assert {answer[0] for answer in await asyncio.gather(*attempts)} == {"certificate"}


async def test_what_is_too_large_is_not_looked_at(scene: Scene) -> None:
    large = "x" * (module.LONGEST_REQUEST + 1)
    assert (await scene.join(request=large))[0] == ""
    assert (await scene.renew(peer(), certificate=large)).error == "its certificate is too large"
    assert scene.signer.asked == []


async def test_without_an_authority(scene: Scene) -> None:
    scene.certificates = scene.with_signer(None)
    answer = await scene.certificates.authority(AuthorityRequest("r"), Context(peer(identity=None)))
    assert answer.error == NOBODY_SIGNS
    assert (await scene.join())[2] == NOBODY_SIGNS
    assert (await scene.renew(peer())).error == NOBODY_SIGNS


async def test_a_certificate_is_renewed_for_its_owner(scene: Scene) -> None:
    answer = await scene.renew(peer())
    assert (answer.certificate, answer.error) == ("renewed", "")
    assert scene.signer.asked == [("renew", AGENT, "present")]


@pytest.mark.parametrize(
    ("identity", "instance"),
    [
        (None, "a1"),
        (Identity(PeerRole.AGENT, "a2"), "a1"),
        (AGENT, "a2"),
        (Identity(PeerRole.ADMIN, "a1"), "a1"),
        (Identity(PeerRole.CONTROLLER, "a1"), "a1"),
    ],
)
async def test_a_certificate_is_renewed_for_nobody_else(
    scene: Scene, identity: Identity | None, instance: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await scene.renew(peer(identity=identity), instance)
    assert (answer.certificate, answer.error) == ("", "it has not connected with its certificate")
    assert scene.signer.asked == []
    assert f"the certificate of agent '{instance}' at 192.0.2.7:4711 is not renewed" in caplog.text


async def test_a_renewal_that_fails_ends_nothing(scene: Scene) -> None:
    for problem, error in (
        (PkiError("certificate 12 of agent/a1 was revoked"), "certificate 12 of agent/a1 was revoked"),
        (RuntimeError("bug"), CANNOT),
    ):
        scene.signer.problem = problem
        assert (await scene.renew(peer())).error == error
    scene.signer.problem = None
    assert (await scene.renew(peer())).certificate == "renewed"


async def test_an_agent_cannot_have_it_renewed_again_and_again(scene: Scene) -> None:
    for _ in range(module.RENEWALS_AT_ONCE):
        assert (await scene.renew(peer())).error == ""
    assert (await scene.renew(peer())).error == "it was renewed too often"
    assert (await scene.renew(peer(2, Identity(PeerRole.AGENT, "a2")), "a2")).error == ""


async def test_one_renewal_at_a_time_over_one_connection(scene: Scene) -> None:
    scene.signer.may_answer.clear()
    request = RenewalRequest("r", "a1", "present")
    for _ in range(2):
        await scene.certificates.hear(Delivery(topics.agent("a1"), request, SECOND, peer()))
    assert "too many renewals of certificates are under way" in (await scene.wire.last()).error
    scene.signer.may_answer.set()
    assert (await scene.wire.last(2)).certificate == "renewed"


async def test_agents_with_certificates_are_told_who_is_revoked(scene: Scene) -> None:
    others = (None, Identity(PeerRole.ADMIN, "a"), CONTROLLER)
    agents = [peer(1), peer(2, Identity(PeerRole.AGENT, "a2"))]
    scene.certificates.tell([*agents, *(peer(3, identity) for identity in others)])
    told = RevokedCertificates("the list")
    assert scene.wire.said == [(topics.agent("a1"), told, agents[0]), (topics.agent("a2"), told, agents[1])]
    scene.revoked = ""
    scene.certificates.tell(agents)
    assert len(scene.wire.said) == 2


# The authority on this host


async def test_the_authority_on_this_host(tmp_path: Path) -> None:
    assert signer_of(tmp_path / "pki") is None
    pki = PkiDirectory.create(tmp_path / "pki")
    signer = signer_of(tmp_path / "pki")
    assert signer is not None
    assert await signer.authority() == reading.certificate_pem(pki.certificate)
    token, _ = Tokens(pki).create("a1")
    key = building.make_key()
    joined, revoked = await signer.join("a1", token.secret, reading.make_request(key), "192.0.2.7", lambda: False)
    assert revoked == pki.revocation_list.read_text()
    renewed = reading.read_certificate((await signer.renew(AGENT, joined)).encode(), "it")
    assert (reading.identity_of(renewed), renewed.public_key()) == (AGENT, key.public_key())
    (pki.path / "ca.key").unlink()
    assert signer_of(tmp_path / "pki") is None


async def test_only_what_is_its_owners_and_not_revoked_is_renewed(tmp_path: Path) -> None:
    pki, other = PkiDirectory.create(tmp_path / "pki"), PkiDirectory.create(tmp_path / "other")
    signer = LocalSigner(pki.path)

    def made(authority: PkiDirectory, name: str = "a1") -> str:
        identity = Identity(PeerRole.AGENT, name)
        return authority.issue(identity, (), building.make_key().public_key()).certificate

    revoked = pki.issue(AGENT, (), building.make_key().public_key())
    pki.revoke([revoked])
    for record in (pki.path / "issued").glob(f"{revoked.serial}.json"):
        record.unlink()  # the list remembers it all the same
    for certificate, sentence in (
        (made(pki, "a2"), "the certificate is not that of agent/a1"),
        (made(other), "was not issued by the authority in"),
        (revoked.certificate, "was revoked"),
        (reading.certificate_pem(pki.certificate), "the certificate is not that of agent/a1"),
        ("nonsense", "holds no certificate"),
    ):
        with pytest.raises(PkiError, match=sentence):
            await signer.renew(AGENT, certificate)
    assert await signer.renew(AGENT, made(pki))


# The agent


async def test_an_agent_asks_the_controller_that_has_shown_a_certificate() -> None:
    wire = Wire()
    certificates = AgentsCertificates(wire, "a1")  # type: ignore[arg-type]
    certificates.found(peer(1, None))
    certificates.found(peer(2, Identity(PeerRole.AGENT, "a2")))
    asking = asyncio.create_task(certificates.renew("present"))
    await asyncio.sleep(0)
    assert wire.said == []
    controller = peer(3, CONTROLLER)
    certificates.found(controller)
    assert await asking == "new"
    ((topic, request, to),) = wire.said
    assert isinstance(request, RenewalRequest)
    assert (topic, request.instance, request.certificate, to) == (topics.agent("a1"), "a1", "present", controller)
    certificates.lost(controller)
    waiting = asyncio.create_task(certificates.renew("present"))
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()


async def test_an_agent_that_is_refused() -> None:
    wire = Wire()
    wire.answer = lambda request: RenewalResponse(request.reqid, "", "no\x1b[2J")
    certificates = AgentsCertificates(wire, "a1")  # type: ignore[arg-type]
    certificates.found(peer(3, CONTROLLER))
    with pytest.raises(RequestFailedError, match=r"controller 192.0.2.7 refuses: no\\x1b\[2J"):
        await certificates.renew("present")


async def test_an_agent_hears_who_is_revoked_from_controllers_with_certificates_only() -> None:
    certificates = AgentsCertificates(Wire(), "a1")  # type: ignore[arg-type]
    waiting = asyncio.create_task(certificates.revoked())
    certificates.told("forged", peer(1, None))
    certificates.told("forged", peer(1, Identity(PeerRole.AGENT, "a1")))
    await asyncio.sleep(0)
    certificates.told("former", peer(1, CONTROLLER))
    certificates.told("list", peer(1, CONTROLLER))
    assert await waiting == "list"
    again = asyncio.create_task(certificates.revoked())
    await asyncio.sleep(0)
    assert not again.done()
    again.cancel()
