"""Handshakes over loopback, with certificates of our own authority on both sides."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from support.certificates import issue
from zeekfleet.errors import TlsFileError
from zeekfleet.pki.directory import PkiDirectory
from zeekfleet.pki.records import find
from zeekfleet.security.identity import Identity, PeerRole, identity_of_peer
from zeekfleet.transport import tls
from zeekfleet.transport.tls import CurrentContext, TlsFiles

HOST = "127.0.0.1"
DAY = 86400.0
TIMEOUT = 20.0
UNKNOWN_AUTHORITY = {
    "unable to get local issuer certificate",
    "self-signed certificate in certificate chain",
    "unable to get certificate CRL",
}
"""What OpenSSL says, depending on what it was sent and looks at first."""

CONTROLLER = Identity(PeerRole.CONTROLLER, "c1")
AGENT = Identity(PeerRole.AGENT, "a1")


class Clock:
    """The authority's clock; the handshakes' is the real one."""

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pki(tmp_path: Path, clock: Clock) -> PkiDirectory:
    clock.offset = -20 * DAY
    made = PkiDirectory.create(tmp_path / "pki", clock=clock)
    clock.offset = 0.0
    return made


@pytest.fixture
def controller(pki: PkiDirectory) -> TlsFiles:
    return issue(pki, "controller/c1", "localhost", HOST)


@pytest.fixture
def agent(pki: PkiDirectory) -> TlsFiles:
    return issue(pki, "agent/a1")


def shake_hands(
    server: ssl.SSLContext, client: ssl.SSLContext, host: str = HOST
) -> tuple[Identity | str | None, Identity | str | None]:
    """What each side knows of the other: its identity, or why there is no connection. First what the server knows.

    A client of TLS 1.3 hears of its refusal only when it reads.
    """
    known: list[Identity | str | None] = []

    def serve() -> None:
        accepted, _ = listening.accept()
        accepted.settimeout(TIMEOUT)
        try:
            with server.wrap_socket(accepted, server_side=True) as connection:
                known.append(identity_of_peer(connection.getpeercert()))
                connection.sendall(b"1")
                connection.recv(1)
        except OSError as error:
            if not known:
                known.append(getattr(error, "verify_message", "") or getattr(error, "reason", "") or str(error))

    with socket.create_server((HOST, 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        found: Identity | str | None
        try:
            with (
                socket.create_connection(listening.getsockname(), TIMEOUT) as plain,
                client.wrap_socket(plain, server_hostname=host) as connection,
            ):
                found = identity_of_peer(connection.getpeercert()) if connection.recv(1) else "closed"
        except OSError as error:
            found = getattr(error, "verify_message", "") or getattr(error, "reason", "") or str(error)
        thread.join(TIMEOUT)
    return known[0], found


def test_both_sides_know_each_other(controller: TlsFiles, agent: TlsFiles) -> None:
    for host in (HOST, "localhost"):
        result = shake_hands(tls.server_context(controller), tls.client_context(agent), host)
        assert result == (AGENT, CONTROLLER)


def test_a_controller_may_connect_and_an_agent_listen(pki: PkiDirectory, controller: TlsFiles) -> None:
    listening = issue(pki, "agent/a2", HOST)
    result = shake_hands(tls.server_context(listening), tls.client_context(controller))
    assert result == (CONTROLLER, Identity(PeerRole.AGENT, "a2"))


def test_without_a_host_name_the_identity_has_to_do(controller: TlsFiles, agent: TlsFiles) -> None:
    """A controller that connects to an agent knows it by its name."""
    server = tls.server_context(agent)
    assert shake_hands(server, tls.client_context(controller, check_host=False)) == (CONTROLLER, AGENT)
    assert "IP address mismatch" in str(shake_hands(server, tls.client_context(controller))[1])


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_clients_may_connect_but_not_listen(pki: PkiDirectory, controller: TlsFiles, role: str) -> None:
    client = issue(pki, f"{role}/bob")
    known, _ = shake_hands(tls.server_context(controller), tls.client_context(client))
    assert known == Identity(PeerRole(role), "bob")
    _, found = shake_hands(tls.server_context(client), tls.client_context(controller, check_host=False))
    assert found == "unsuitable certificate purpose"


def test_the_wrong_host_name(controller: TlsFiles, agent: TlsFiles) -> None:
    _, found = shake_hands(tls.server_context(controller), tls.client_context(agent), "elsewhere.example")
    assert "Hostname mismatch" in str(found)


@pytest.mark.parametrize("name", ["a1", "agent", "zeekfleet"])
def test_a_name_is_not_taken_for_a_host(pki: PkiDirectory, controller: TlsFiles, name: str) -> None:
    """What the owner is called stands in the subject, where old rules look for a host's name."""
    server = tls.server_context(issue(pki, "agent/a1"))
    _, found = shake_hands(server, tls.client_context(controller), name)
    assert "Hostname mismatch" in str(found)


def test_no_certificate(controller: TlsFiles) -> None:
    client = tls.client_context(TlsFiles(authorities=controller.authorities))
    known, found = shake_hands(tls.server_context(controller), client)
    assert known == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
    assert not isinstance(found, Identity)


def test_another_authority(controller: TlsFiles, agent: TlsFiles, tmp_path: Path) -> None:
    other = PkiDirectory.create(tmp_path / "other")
    forged = issue(other, "agent/a1", HOST)
    # It is taken by the client, which knows its authority, so that the server is who refuses.
    knows_both = tls.client_context(forged, check_host=False)
    knows_both.verify_flags = ssl.VERIFY_DEFAULT
    knows_both.load_verify_locations(controller.authorities)
    known, found = shake_hands(tls.server_context(controller), knows_both)
    assert known in UNKNOWN_AUTHORITY
    assert not isinstance(found, Identity)
    _, found = shake_hands(tls.server_context(forged), tls.client_context(agent))
    assert found in UNKNOWN_AUTHORITY


@pytest.mark.parametrize(
    ("offset", "message"), [(-10 * DAY, "certificate has expired"), (10 * DAY, "certificate is not yet valid")]
)
def test_certificates_out_of_time(
    pki: PkiDirectory, controller: TlsFiles, agent: TlsFiles, clock: Clock, offset: float, message: str
) -> None:
    clock.offset = offset
    late = issue(pki, "agent/late", HOST, days=2)
    known, found = shake_hands(tls.server_context(controller), tls.client_context(late))
    assert known == message
    assert not isinstance(found, Identity)
    assert shake_hands(tls.server_context(late), tls.client_context(agent))[1] == message


def test_revoked_certificates(pki: PkiDirectory, controller: TlsFiles, agent: TlsFiles) -> None:
    pki.revoke(find(pki.issued(), "a1"))
    known, found = shake_hands(tls.server_context(controller), tls.client_context(agent))
    assert known == "certificate revoked"
    assert not isinstance(found, Identity)
    pki.revoke(find(pki.issued(), "c1"))
    other = issue(pki, "agent/a2")
    assert shake_hands(tls.server_context(controller), tls.client_context(other))[1] == "certificate revoked"


def test_older_protocols(controller: TlsFiles, agent: TlsFiles) -> None:
    """Not even a peer that is ready for anything gets TLS 1.1."""

    def old(context: ssl.SSLContext) -> ssl.SSLContext:
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        return context

    known, found = shake_hands(tls.server_context(controller), old(tls.client_context(agent)))
    assert known == "UNSUPPORTED_PROTOCOL"
    assert not isinstance(found, Identity)
    known, found = shake_hands(old(tls.server_context(controller)), tls.client_context(agent))
    assert not isinstance(known, Identity)
    assert not isinstance(found, Identity)


def test_tls_1_2_is_still_spoken(controller: TlsFiles, agent: TlsFiles) -> None:
    client = tls.client_context(agent)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert shake_hands(tls.server_context(controller), client) == (AGENT, CONTROLLER)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
def test_nothing_is_negotiated_again(controller: TlsFiles, agent: TlsFiles) -> None:
    """OpenSSL's client asks for it when it reads the line R, and ends when that is refused."""
    with socket.create_server((HOST, 0)) as listening:
        files = ("-cert", agent.certificate, "-key", agent.key, "-CAfile", agent.authorities)
        address = f"{HOST}:{listening.getsockname()[1]}"
        client = subprocess.Popen(
            ("openssl", "s_client", "-tls1_2", "-connect", address, *files),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )  # fmt: skip
        accepted, _ = listening.accept()
        accepted.settimeout(TIMEOUT)
        with tls.server_context(controller).wrap_socket(accepted, server_side=True) as connection:
            assert client.stdin is not None
            client.stdin.write("R\n")
            client.stdin.flush()
            with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):  # the client's answer to the refusal
                connection.recv(1)
    said, _ = client.communicate(timeout=TIMEOUT)
    assert "RENEGOTIATING" in said
    assert "no renegotiation" in said


def in_memory(server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLObject:
    """The client's side of a connection without sockets, after a byte from the server."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    ours = client.wrap_bio(to_client, to_server, server_hostname=HOST, session=session)
    steps: list[Callable[[], object]] = [ours.do_handshake, theirs.do_handshake]
    for step in steps * 3:
        try:
            step()
        except ssl.SSLWantReadError:
            continue
    theirs.write(b"1")
    assert ours.read(1) == b"1"
    return ours


def test_nobody_comes_back_without_showing_a_certificate(controller: TlsFiles, agent: TlsFiles) -> None:
    """A session that goes on would skip the list of revoked certificates."""
    server, client = tls.server_context(controller), tls.client_context(agent)
    first = in_memory(server, client, None)
    assert not first.session.has_ticket
    assert not in_memory(server, client, first.session).session_reused
    # In TLS 1.2 the server may remember sessions itself, but a new context forgets them.
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    first = in_memory(server, client, None)
    assert not first.session.has_ticket
    assert not in_memory(tls.server_context(controller), client, first.session).session_reused


def test_the_next_handshake_takes_new_files(pki: PkiDirectory, controller: TlsFiles, agent: TlsFiles) -> None:
    current = CurrentContext(lambda: tls.server_context(controller))
    client = tls.client_context(agent)
    assert shake_hands(current.context, client) == (AGENT, CONTROLLER)

    former = Path(controller.certificate).read_bytes()
    issue(pki, "controller/c1", "localhost", HOST)
    pki.revoke(find(pki.issued(), "a1"))
    assert shake_hands(current.context, client)[0] == AGENT
    current.reload()
    assert shake_hands(current.context, client)[0] == "certificate revoked"
    other = tls.client_context(issue(pki, "agent/a2"))
    assert shake_hands(current.context, other) == (Identity(PeerRole.AGENT, "a2"), CONTROLLER)

    # Half of a change is none.
    latest = current.context
    Path(controller.certificate).write_bytes(former)
    with pytest.raises(TlsFileError, match=r"cannot be used: .*KEY_VALUES_MISMATCH"):
        current.reload()
    assert current.context is latest
    assert shake_hands(current.context, other)[1] == CONTROLLER


def test_each_new_list_of_revoked_certificates_counts(pki: PkiDirectory, controller: TlsFiles) -> None:
    current = CurrentContext(lambda: tls.server_context(controller))
    for name in ("a1", "a2", "a3"):
        client = tls.client_context(issue(pki, f"agent/{name}"))
        assert shake_hands(current.context, client)[0] == Identity(PeerRole.AGENT, name)
        pki.revoke(find(pki.issued(), name))
        current.reload()
        assert shake_hands(current.context, client)[0] == "certificate revoked"


def test_without_a_list_nothing_is_revoked(pki: PkiDirectory) -> None:
    server, client = issue(pki, "controller/c1", HOST, revoked=False), issue(pki, "agent/a1", revoked=False)
    pki.revoke(find(pki.issued(), "a1"))
    assert shake_hands(tls.server_context(server), tls.client_context(client)) == (AGENT, CONTROLLER)


def test_without_authorities_anybody_may_come(controller: TlsFiles) -> None:
    server = tls.server_context(TlsFiles(controller.certificate, controller.key))
    client = tls.client_context(TlsFiles(authorities=controller.authorities))
    assert shake_hands(server, client) == (None, CONTROLLER)


def changed(files: TlsFiles, **paths: str | Path) -> TlsFiles:
    fields = {name: getattr(files, name) for name in files.__struct_fields__}
    return TlsFiles(**{**fields, **{name: str(path) for name, path in paths.items()}})


@pytest.mark.parametrize("kind", ["certificate", "key", "authorities", "revoked"])
def test_files_that_cannot_be_used(controller: TlsFiles, tmp_path: Path, kind: str) -> None:
    absent, empty = tmp_path / "absent", tmp_path / "empty"
    empty.touch(mode=0o600)
    with pytest.raises(TlsFileError, match=f"^{absent} cannot be read: No such file or directory$") as caught:
        tls.server_context(changed(controller, **{kind: absent}))
    assert (caught.value.kind, caught.value.path) == (kind, str(absent))
    with pytest.raises(TlsFileError, match="cannot be used: ") as caught:
        tls.server_context(changed(controller, **{kind: empty}))
    assert caught.value.kind == ("certificate" if kind == "key" else kind)


def test_files_that_hold_something_else(controller: TlsFiles) -> None:
    revoked, certificate = controller.revoked, controller.certificate
    with pytest.raises(TlsFileError, match=f"^{revoked} holds no certificate$"):
        tls.server_context(changed(controller, authorities=revoked))
    with pytest.raises(TlsFileError, match=f"^{certificate} holds no list of revoked certificates$"):
        tls.server_context(changed(controller, revoked=certificate))


def test_a_key_that_others_can_read(controller: TlsFiles) -> None:
    Path(controller.key).chmod(0o644)
    for make in (tls.server_context, tls.client_context):
        with pytest.raises(TlsFileError, match=f"^{controller.key} can be read by other users: run 'chmod 600") as told:
            make(controller)
        assert told.value.kind == "key"
    Path(controller.key).chmod(0o600)
    Path(controller.key).parent.chmod(0o777)
    with pytest.raises(TlsFileError, match="can be written by other users: run 'chmod go-w"):
        tls.server_context(controller)


def test_a_key_in_the_certificates_file(controller: TlsFiles, agent: TlsFiles, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(Path(controller.key).read_bytes() + Path(controller.certificate).read_bytes())
    files = changed(controller, certificate=both, key="")
    both.chmod(0o644)
    with pytest.raises(TlsFileError, match=f"^{both} can be read by other users"):
        tls.server_context(files)
    both.chmod(0o600)
    assert shake_hands(tls.server_context(files), tls.client_context(agent)) == (AGENT, CONTROLLER)


@pytest.mark.parametrize("name", ["a1", "b" * 64])
def test_a_passphrase(pki: PkiDirectory, controller: TlsFiles, name: str) -> None:
    files = issue(pki, f"admin/{name}", passphrase="open sesame ä")
    with pytest.raises(TlsFileError, match=f"^{files.key} is encrypted, and there is no passphrase for it$"):
        tls.client_context(files)
    for wrong in ("open", "x" * 2000):
        with pytest.raises(TlsFileError, match=f"^{files.key} cannot be opened with this passphrase$"):
            tls.load_own(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), files, wrong)
    client = tls.client_context(TlsFiles(authorities=files.authorities))
    tls.load_own(client, files, "open sesame ä")
    known, _ = shake_hands(tls.server_context(controller), client)
    assert known == Identity(PeerRole.ADMIN, name)
