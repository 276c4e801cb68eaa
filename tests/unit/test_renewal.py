"""How a daemon's own files are replaced: in time, only by what is better, and never by what locks it out."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support.certificates import issue
from support.waiting import News, async_until
from zeekfleet.daemon import renewal
from zeekfleet.daemon.renewal import Renewal
from zeekfleet.daemon.tls import DaemonTls
from zeekfleet.errors import PkiError, TlsFileError
from zeekfleet.pki import building, reading
from zeekfleet.pki.building import Authority
from zeekfleet.pki.directory import PkiDirectory
from zeekfleet.pki.records import Issued, find
from zeekfleet.security.certificates import list_number, revoked_numbers
from zeekfleet.security.identity import Identity, PeerRole
from zeekfleet.settings import AgentSettings, CommonSettings
from zeekfleet.testing.clock import ManualClock

DAY = 86400.0
AGENT = Identity(PeerRole.AGENT, "a1")


class Host:
    """An agent's host, whose authority is elsewhere."""

    def __init__(self, root: Path, days: float = 90) -> None:
        self.authority = PkiDirectory.create(root / "authority")
        files = issue(self.authority, "agent/a1", days=days)
        self.pki = root / "state" / "pki"
        self.certificate = self.pki / "certificates" / "agent-a1.pem"
        self.revoked = self.pki / "crl.pem"
        self.certificate.parent.mkdir(mode=0o700, parents=True)
        for source, target in (
            (files.certificate, self.certificate),
            (files.key, self.certificate.with_suffix(".key")),
            (files.authorities, self.certificate.with_name("ca.pem")),
            (files.revoked, self.revoked),
        ):
            target.touch(mode=0o600)
            target.write_bytes(Path(source).read_bytes())
        self.tls = DaemonTls("agent", AgentSettings(name="a1"), CommonSettings(state_dir=str(root / "state")))

    def renewal(self) -> Renewal:
        return Renewal(self.tls, AGENT)

    def renewed(self, days: float = 200.0, owner: Identity = AGENT) -> Issued:
        """A certificate for the agent's key."""
        present = reading.read_certificate(self.certificate.read_bytes(), "it")
        return self.authority.issue(owner, (), reading.public_key_of(present), days)

    def left(self) -> list[str]:
        """Files that should not be there."""
        return [path.name for path in self.pki.rglob("*") if ".next" in path.name or path.name.startswith(".")]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_certificate_is_replaced_by_one_that_is_valid_for_longer(host: Host) -> None:
    issued = host.renewed()
    found = host.renewal().install(issued.certificate.encode())
    assert found.end == issued.end
    assert host.certificate.read_text() == issued.certificate
    assert host.certificate.stat().st_mode & 0o777 == 0o600
    assert host.left() == []


def test_a_certificate_is_not_replaced_by_anything_else(host: Host, tmp_path: Path) -> None:
    before = host.certificate.read_bytes()
    other_key = host.authority.issue(AGENT, (), building.make_key().public_key(), 200)
    foreign = Host(tmp_path / "foreign")
    key = reading.public_key_of(reading.read_certificate(before, "it"))
    for certificate, error, sentence in (
        (host.renewed(1).certificate, PkiError, "it would be valid until .* only, as the present one"),
        (host.renewed(owner=Identity(PeerRole.AGENT, "a2")).certificate, PkiError, "it is that of agent/a2"),
        (host.renewed(owner=Identity(PeerRole.ADMIN, "a1")).certificate, PkiError, "it would not be accepted"),
        (foreign.authority.issue(AGENT, (), key, 200).certificate, PkiError, "it would not be accepted"),
        (other_key.certificate, TlsFileError, "cannot be used"),
        ("nonsense", ValueError, "there is no certificate"),
        ("", ValueError, "there is no certificate"),
    ):
        with pytest.raises(error, match=sentence):
            host.renewal().install(certificate.encode())
        assert host.certificate.read_bytes() == before
        assert host.left() == []


def test_a_newer_list_of_revoked_certificates_is_taken(host: Host) -> None:
    before = host.revoked.read_bytes()
    assert not host.renewal().take_list(before)
    host.authority.revoke([host.authority.issue(AGENT, (), building.make_key().public_key(), 1)])
    newer = host.authority.revocation_list.read_bytes()
    assert host.renewal().take_list(newer)
    assert host.revoked.read_bytes() == newer
    assert not host.renewal().take_list(newer)
    assert not host.renewal().take_list(before)
    assert host.revoked.read_bytes() == newer
    assert host.left() == []


def test_the_first_list_and_one_in_place_of_a_damaged_one(host: Host) -> None:
    revoked = host.revoked.read_bytes()
    host.revoked.unlink()
    assert host.renewal().take_list(revoked)
    host.revoked.write_text("nonsense")
    assert host.renewal().take_list(revoked)


def test_a_list_in_which_we_stand_is_taken(host: Host) -> None:
    host.authority.revoke(find(host.authority.issued(), "a1"))
    assert host.renewal().take_list(host.authority.revocation_list.read_bytes())


def test_a_list_by_which_nobody_would_be_accepted_is_not_taken(host: Host, tmp_path: Path) -> None:
    before = host.revoked.read_bytes()
    foreign = PkiDirectory.create(tmp_path / "foreign")
    forged = Authority(host.authority.certificate, building.make_key())
    now = datetime.now(UTC) + timedelta(days=1)
    later = building.make_revocation_list(host.authority.check(AGENT, ()), (), now + timedelta(days=30))
    for revoked, error in (
        (foreign.revocation_list.read_bytes(), PkiError),
        (reading.list_pem(building.make_revocation_list(forged, (), now)).encode(), PkiError),
        (reading.list_pem(later).encode(), PkiError),  # not valid before then
        (before * 2, ValueError),
        (host.certificate.read_bytes(), ValueError),
        (b"", ValueError),
    ):
        with pytest.raises(error):
            host.renewal().take_list(revoked)
        assert host.revoked.read_bytes() == before
        assert host.left() == []


def test_the_authoritys_own_list_is_left_alone(host: Host) -> None:
    (host.pki / "ca.key").touch()
    before = host.revoked.read_bytes()
    host.authority.revoke([host.authority.issue(AGENT, (), building.make_key().public_key(), 1)])
    assert not host.renewal().take_list(host.authority.revocation_list.read_bytes())
    assert host.revoked.read_bytes() == before


def test_a_list_is_newer_also_if_the_clock_was_set_back(tmp_path: Path) -> None:
    now = time.time()
    pki = PkiDirectory.create(tmp_path / "pki", clock=lambda: now)
    numbers, revoked = [], set()
    for _ in range(3):
        numbers.append(list_number(pki.revocation_list.read_bytes()))
        now -= 60
        one = pki.issue(AGENT, (), building.make_key().public_key(), 1)
        pki.revoke([one])
        revoked.add(int(one.serial, 16))
        assert revoked_numbers(pki.revocation_list.read_bytes()) == revoked
    assert numbers == sorted(set(numbers))


# When


@pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
async def test_when_a_third_of_the_life_is_left_or_a_little_later(
    host: Host, part: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = find(host.authority.issued(), "a1")[0].end
    due = end - (90 * DAY + 300) / 3 * (1 - 0.2 * part)
    clock, asked, news = ManualClock(due - 1000.0), list[int](), News()

    async def renew(certificate: str) -> str:
        asked.append(round(clock() - due))
        news.notify()
        assert certificate == host.certificate.read_text()
        return host.renewed(1000).certificate if len(asked) == 3 else "nonsense"

    monkeypatch.setattr(renewal.Backoff, "next", lambda self: 77.0)
    task = asyncio.create_task(Renewal(host.tls, AGENT, lambda: part, clock, clock.sleep).run(renew))
    for pause in (999.0, 1.0, 77.0, 77.0):
        await clock.until_asleep()
        clock.advance(pause)
    await clock.until_asleep()
    assert asked == [0, 77, 154]
    # It is renewed now, and looked at once an hour.
    for _ in range(5):
        clock.advance(3599.0)
        clock.advance(1.0)
        await clock.until_asleep()
    assert asked == [0, 77, 154]
    clock.advance(1000 * DAY)  # somebody has set the clock
    await news.until(lambda: len(asked) == 4)
    task.cancel()


async def test_files_that_somebody_else_has_renewed_are_noticed(tmp_path: Path) -> None:
    """A certificate whose end is near is put there; nobody has to wait for an hour."""
    host = Host(tmp_path)
    asked: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def renew(certificate: str) -> str:
        if not asked.done():
            asked.set_result(certificate)
        return host.renewed(300).certificate

    soon = host.renewed(60 / DAY).certificate
    clock = ManualClock(time.time())
    task = asyncio.create_task(Renewal(host.tls, AGENT, lambda: 0.0, clock, clock.sleep).run(renew))
    await clock.until_asleep()
    host.certificate.write_text(soon)
    host.tls.renewed.notify()
    async with asyncio.timeout(10):
        assert await asked == soon
    task.cancel()


async def test_a_list_that_cannot_be_used_ends_nothing(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    host.authority.revoke([host.authority.issue(AGENT, (), building.make_key().public_key(), 1)])
    newer = host.authority.revocation_list.read_text()
    told: asyncio.Queue[str] = asyncio.Queue()
    task = asyncio.create_task(host.renewal().keep_list(told.get))
    for text in ("nonsense", newer):
        told.put_nowait(text)
    await async_until(lambda: host.revoked.read_text() == newer)
    assert "the list of revoked certificates that the controller has sent is not used" in caplog.text
    task.cancel()
