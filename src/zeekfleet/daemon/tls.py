"""TLS of a daemon: which connections are encrypted, and with which certificates.

Connections on loopback need no TLS, because the kernel tells which user they belong to. On all others, both sides show
a certificate, unless ``--insecure`` is set. The files are read again when they change.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Final

import msgspec

from zeekfleet.errors import SettingsError, TlsFileError
from zeekfleet.model.defaults import LOCALHOST
from zeekfleet.model.names import AUTHORITY, CERTIFICATES, PKI, REVOKED
from zeekfleet.security.certificates import Validity, revoked_numbers, validity_of_file
from zeekfleet.security.identity import PeerRole
from zeekfleet.security.reports import Reports
from zeekfleet.security.web_pages import is_loopback
from zeekfleet.settings import AgentSettings, CommonSettings, ControllerSettings
from zeekfleet.system.inotify import IN_CLOSE_WRITE, IN_CREATE, IN_MOVED_TO, Inotify
from zeekfleet.transport import tls
from zeekfleet.transport.encryption import ClientTls, ServerTls
from zeekfleet.transport.tls import TlsFiles
from zeekfleet.waiting import Signal

logger = logging.getLogger(__name__)

CHECK_INTERVAL: Final = 60.0
"""Seconds between two checks of our certificate. They are regular because the clock may be set at any time, and network
file systems do not tell of files that another host has written."""

WARN_BEFORE: Final = 14 * 86400.0
"""Seconds before the end of a certificate at which a warning is logged."""

SETTLING: Final = 1.0
"""Seconds after a file has changed until all are read again: certificate, key and list are often replaced together."""


class CertificateWatch:
    """Logs once when a certificate expires soon, and once when it is not valid.

    Args:
        validity: the period in which the certificate is valid.
    """

    def __init__(self, validity: Validity) -> None:
        self._validity = validity
        self._told = ""

    def check(self) -> None:
        """Check once."""
        now = time.time()
        if problem := self._validity.problem(now):
            self._tell(logging.ERROR, f"{problem}: whoever verifies it does not connect")
        elif problem := self._validity.problem(now + WARN_BEFORE):
            self._tell(logging.WARNING, problem.replace(" has expired on ", " expires on "))
        else:
            self._told = ""

    def _tell(self, level: int, text: str) -> None:
        # Compare without what follows the comma: it may be the present time.
        kind = text.split(",", maxsplit=1)[0]
        if kind != self._told:
            self._told = kind
            logger.log(level, text)


class _Handshake(ssl.SSLObject):
    """Logs why a handshake failed, each reason at most once a minute. Asyncio does not log it."""

    def do_handshake(self) -> None:
        if isinstance(self.context, ServerContext):
            self.context.watch.check()
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLCertVerificationError as error:
            self._tell(logging.WARNING, "refused a client because of its certificate", error.verify_message)
            raise
        except ssl.SSLError as error:
            self._tell(logging.INFO, "a client's TLS handshake failed", str(error.reason or error))
            raise

    def _tell(self, level: int, what: str, why: str) -> None:
        if isinstance(self.context, ServerContext) and (
            line := self.context.reports.line(why, lambda: f"{what}: {why}")
        ):
            logger.log(level, "%s", line, extra={"error": why})


class ServerContext(ssl.SSLContext):
    """A context with the watch of its certificate, and a limit for what is logged of handshakes."""

    watch: CertificateWatch
    reports: Reports
    sslobject_class = _Handshake


class DaemonTls:
    """The certificates of a daemon, and the contexts for connections with them.

    Args:
        section: the settings' section, ``controller`` or ``agent``.
        own: its settings. If they name no certificate, one that ``zeekfleet pki`` has written for this daemon is used.
        common: the settings of all daemons.

    Attributes:
        insecure: whether connections to other hosts may be without TLS.
        files: the files that are used.
        directory: where the list of revoked certificates is, unless the settings name files.
        revoked_list: the authorities' lists of revoked certificates, as PEM; ``""`` if there is none.
        renewed: notified when the files were read again.

    Raises:
        SettingsError: a file is missing or cannot be used, or others can read the private key.
    """

    def __init__(self, section: str, own: ControllerSettings | AgentSettings, common: CommonSettings) -> None:
        self._section = section
        self.insecure = common.insecure
        self.files = TlsFiles(own.tls_certificate, own.tls_key, own.tls_ca, own.tls_revoked)
        self._is_asked_for = bool(self.files.certificate)
        if not self._is_asked_for:
            for key in ("tls_key", "tls_ca", "tls_revoked"):
                if getattr(own, key):
                    raise SettingsError(f"{section}.{key}", f"needs {section}.tls_certificate, too")
        if self.files.revoked and not self.files.authorities:
            raise SettingsError(f"{section}.tls_revoked", f"needs {section}.tls_ca, too")
        self.directory = Path(common.state_dir) / PKI
        if not self._is_asked_for:
            self.files = found_files(self.directory, f"{section}-{own.name}")
        self._revoked_later = "" if self._is_asked_for else str(self.directory / REVOKED)
        self._known = _stamps(self._watched())
        self._changed: set[str] = set()
        """The files that have changed since they could be read."""
        self._reports = Reports()
        self._server: tls.CurrentContext[ServerContext] | None = None
        self._door: tls.CurrentContext[ServerContext] | None = None
        self._client: tls.CurrentContext[ssl.SSLContext] | None = None
        if self.files.certificate:
            self._server = tls.CurrentContext(self._make_server)
        if self.is_mutual:
            self._client = tls.CurrentContext(self._make_client)
        self.revoked_list = self._read_revoked()
        self.renewed = Signal()

    @property
    def is_found(self) -> bool:
        """Whether the files are those in the state directory, which are ours to replace."""
        return self.is_mutual and not self._is_asked_for

    @property
    def is_mutual(self) -> bool:
        """Whether there are all files that both sides need to show each other certificates."""
        return bool(self.files.certificate and self.files.authorities)

    def for_clients(self, host: str) -> ServerTls | None:
        """TLS for the listener for clients; None for plain text.

        Args:
            host: the address on which it listens.

        Raises:
            SettingsError: plain text is not allowed there.
        """
        self._check(host)
        if self._server is None or (is_here(host) and not self._is_asked_for):
            return None
        return ServerTls(self._server_context, plain_here=not self._is_asked_for)

    def for_fleet(self, host: str, *, with_applicants: bool = False) -> ServerTls | None:
        """TLS for the controller's listener for agents, or an agent's listener for controllers; None for plain text.

        Args:
            host: the address on which it listens.
            with_applicants: whether peers may connect without a certificate, to ask for one, or to be told that they
                may not.

        Raises:
            SettingsError: plain text is not allowed there.
        """
        self._check(host)
        if is_here(host) or not self.is_mutual:
            return None
        if with_applicants and self._door is None:
            self._door = tls.CurrentContext(self._make_door)
        return ServerTls(self._door_context if with_applicants else self._server_context, plain_here=True)

    def problem(self, host: str) -> str:
        """Why we must not connect to this host, or listen on this address; ``""`` if we may."""
        if self.insecure or self.is_mutual or is_here(host):
            return ""
        return (
            f"{host} is not loopback, so {self._section}.tls_certificate, tls_key and tls_ca are needed: see 'zeekfleet"
            " pki', or accept with --insecure that whoever reaches the port commands the nodes"
        )

    def towards_agent(self, host: str, name: str) -> ClientTls | None:
        """TLS for a connection to an agent; None for plain text."""
        return self._towards(host, PeerRole.AGENT, name)

    def towards_controller(self, host: str) -> ClientTls | None:
        """TLS for a connection to a controller; None for plain text.

        Raises:
            SettingsError: plain text is not allowed there.
        """
        self._check(host)
        return self._towards(host, PeerRole.CONTROLLER)

    def _towards(self, host: str, role: PeerRole, name: str = "") -> ClientTls | None:
        return None if is_here(host) or self._client is None else ClientTls(self._client_context, role, name)

    def _check(self, host: str) -> None:
        if problem := self.problem(host):
            raise SettingsError(f"{self._section}.tls_certificate", problem)

    def warn(self) -> None:
        """Log a warning if connections from other hosts are possible without certificates."""
        if self.insecure:
            logger.warning(
                "--insecure: whoever can reach a port that is not on loopback, and has no certificate to show there,"
                " commands this host's nodes"
            )

    async def run(self, changed: Callable[[Container[int] | None], None] = lambda revoked: None) -> None:
        """Watch the files and the certificate until cancelled.

        Args:
            changed: called when the files have changed, so that peers should show their certificates again. If it is
                called with None, all peers; else those whose certificates have these serial numbers.
        """
        if self._server is None:
            return
        arrived = asyncio.Event()
        inotify = Inotify(arrived.set)
        try:
            files = self._watched()
            for directory in {file.parent for file in files}:
                inotify.watch(directory, IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO)
            arrived.set()  # the files may have changed before we began to watch them
            while True:
                self._server.context.watch.check()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CHECK_INTERVAL):
                        await arrived.wait()
                if arrived.is_set():
                    await asyncio.sleep(SETTLING)
                    arrived.clear()
                    for _ in inotify.read():
                        pass
                if (found := _stamps(files)) == self._known:
                    continue
                if (revoked := self._revoked_later) and found[Path(revoked)] is not None:
                    self.files = self._files_to_come()
                self._changed |= {str(file) for file in found if self._known[file] != found[file]}
                self._known = found
                if self._reload():
                    new, self._changed = self._changed, set()
                    self.renewed.notify()
                    if self.files.authorities in new:
                        changed(None)
                    elif self.files.revoked in new:
                        changed(revoked_numbers(self.revoked_list.encode()))
        finally:
            inotify.close()

    def _files_to_come(self) -> TlsFiles:
        """The files that are used, and the state directory's list of revoked certificates, which may not exist yet: the
        first list may arrive while we run."""
        return msgspec.structs.replace(self.files, revoked=self.files.revoked or self._revoked_later)

    def _watched(self) -> list[Path]:
        return [Path(path) for path in _paths(self._files_to_come())]

    def _reload(self) -> bool:
        """Read the files again. Returns whether they could be used."""
        try:
            for current in (self._server, self._door, self._client):
                if current is not None:
                    current.reload()
            self.revoked_list = self._read_revoked()
        except SettingsError as error:
            logger.error("the former certificates stay in use: %s", error, extra={"error": str(error)})
            return False
        logger.info("certificates were read again")
        return True

    def _server_context(self) -> ssl.SSLContext:
        assert self._server is not None  # noqa: S101 - only used where there is one
        return self._server.context

    def _door_context(self) -> ssl.SSLContext:
        assert self._door is not None  # noqa: S101 - only used where there is one
        return self._door.context

    def _client_context(self) -> ssl.SSLContext:
        assert self._client is not None  # noqa: S101 - only used where there is one
        return self._client.context

    def _make_server(self) -> ServerContext:
        with self._named():
            context = tls.server_context(self.files, ServerContext)
            context.watch = CertificateWatch(validity_of_file(self.files.certificate))
            context.reports = self._reports
        return context

    def _make_door(self) -> ServerContext:
        """Like the server's context, for peers that may have no certificate yet. If they show one, it must be valid."""
        context = self._make_server()
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def _read_revoked(self) -> str:
        """The list of revoked certificates.

        Raises:
            SettingsError: it cannot be read.
        """
        file = self.files.revoked
        try:
            text = Path(file).read_text(encoding="ascii") if file else ""
            revoked_numbers(text.encode())
        except (OSError, ValueError) as error:
            raise SettingsError(f"{self._section}.tls_revoked", f"{file} cannot be read: {error}") from None
        return text

    def _make_client(self) -> ssl.SSLContext:
        with self._named():
            return tls.client_context(self.files)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Name the setting whose file cannot be used."""
        try:
            yield
        except TlsFileError as error:
            raise SettingsError(f"{self._section}.{_SETTINGS[error.kind]}", str(error)) from None
        except ValueError as error:
            raise SettingsError(
                f"{self._section}.tls_certificate", f"{self.files.certificate} cannot be used: {error}"
            ) from None


def found_files(directory: Path, owner: str) -> TlsFiles:
    """The files that ``zeekfleet pki`` has written for a daemon, or it has got for a token; no paths if there are none.

    Args:
        directory: ``pki`` in the state directory.
        owner: such as ``agent-sensor-1``.
    """
    certificate, key = (directory / CERTIFICATES / f"{owner}.{ending}" for ending in ("pem", "key"))
    authorities = directory / CERTIFICATES / AUTHORITY
    if not all(file.exists() for file in (certificate, key, authorities)):
        return TlsFiles()
    revoked = directory / REVOKED
    return TlsFiles(str(certificate), str(key), str(authorities), str(revoked) if revoked.exists() else "")


def is_here(host: str) -> bool:
    """Whether this is loopback, where the kernel tells who is at the other end."""
    return host == LOCALHOST or is_loopback(host)


def _paths(files: TlsFiles) -> list[str]:
    return [path for path in (files.certificate, files.key, files.authorities, files.revoked) if path]


def _stamps(files: list[Path]) -> dict[Path, tuple[int, int, int] | None]:
    """For each file, a value that changes when the file is replaced or written; None if it is missing."""
    stamps: dict[Path, tuple[int, int, int] | None] = {}
    for file in files:
        stamps[file] = None
        with contextlib.suppress(OSError):
            status = file.stat()
            stamps[file] = status.st_ino, status.st_size, status.st_mtime_ns
    return stamps


_SETTINGS: Final = {
    "certificate": "tls_certificate",
    "key": "tls_key",
    "authorities": "tls_ca",
    "revoked": "tls_revoked",
}
"""The setting that names each kind of file."""
