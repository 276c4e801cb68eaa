"""A daemon reads its certificates again when their files change, in whatever way they are changed."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Container
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support.certificates import issue
from support.waiting import News, until
from zeekfleet.daemon import tls
from zeekfleet.daemon.tls import DaemonTls
from zeekfleet.pki.directory import PkiDirectory
from zeekfleet.settings import AgentSettings, CommonSettings
from zeekfleet.transport.tls import TlsFiles


@pytest.fixture
def authority(tmp_path: Path) -> PkiDirectory:
    PkiDirectory.create(tmp_path / "ca")
    return PkiDirectory(tmp_path / "ca")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "SETTLING", 0.01)


class Watched:
    """The certificates of an agent, and what waits until peers have to show theirs again."""

    def __init__(self, certificates: DaemonTls) -> None:
        self.certificates = certificates
        self._count = 0
        self._news = News()

    def changed(self, revoked: Container[int] | None) -> None:
        self._count += 1
        self._news.notify()

    async def until_changed(self) -> None:
        await self._news.until(lambda: self._count)
        self._count = 0

    @property
    def lists(self) -> int:
        """How many lists of revoked certificates count."""
        serving = self.certificates.for_fleet("192.0.2.1")
        assert serving is not None
        return serving.context().cert_store_stats()["crl"]


@asynccontextmanager
async def watched(state: Path, files: TlsFiles | None = None) -> AsyncIterator[Watched]:
    """Watch these files; by default, what ``zeekfleet pki`` has written for the agent a1 in the state directory."""
    given = files or TlsFiles()
    own = AgentSettings(
        name="a1",
        tls_certificate=given.certificate,
        tls_key=given.key,
        tls_ca=given.authorities,
        tls_revoked=given.revoked,
    )
    made = Watched(DaemonTls("agent", own, CommonSettings(state_dir=str(state))))
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(made.certificates.run(made.changed))
        yield made
        watching.cancel()


def agents_files(authority: PkiDirectory, directory: Path) -> TlsFiles:
    """Files of a new certificate of the agent a1, copied to a directory."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    issued = issue(authority, "agent/a1")
    paths = (issued.certificate, issued.key, issued.authorities, issued.revoked)
    return TlsFiles(*(shutil.copy(path, directory) for path in paths))


def move(source: str, target: str | Path) -> None:
    Path(source).replace(target)


def link_anew(link: str, target: str) -> None:
    """As some tools renew certificates: there is no moment at which a file is written or moved in this directory."""
    Path(link).unlink()
    Path(link).symlink_to(target)


async def test_the_first_list_of_revoked_certificates_may_come_later(authority: PkiDirectory, tmp_path: Path) -> None:
    state = tmp_path / "state"
    files = agents_files(authority, state / "pki" / "certificates")
    async with watched(state) as made:
        assert made.lists == 0
        move(files.revoked, state / "pki" / "crl.pem")
        await made.until_changed()
        assert made.lists == 1


async def test_a_list_that_came_with_half_a_certificate_counts_with_the_other_half(
    authority: PkiDirectory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = agents_files(authority, tmp_path / "used")
    others = agents_files(authority, tmp_path / "others")
    async with watched(tmp_path, files) as made:
        move(others.certificate, files.certificate)
        move(others.revoked, files.revoked)
        await asyncio.to_thread(until, lambda: "the former certificates stay in use" in caplog.text)
        move(others.key, files.key)
        await made.until_changed()


async def test_a_file_may_be_a_link_that_is_made_anew(authority: PkiDirectory, tmp_path: Path) -> None:
    files = agents_files(authority, tmp_path / "used")
    others = agents_files(authority, tmp_path / "others")
    async with watched(tmp_path, files) as made:
        link_anew(files.revoked, others.revoked)
        await made.until_changed()
