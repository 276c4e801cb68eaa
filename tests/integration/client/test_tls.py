"""The ``[ssl]`` settings, side by side with zeek-client."""

from __future__ import annotations

import asyncio
import functools
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from support.certificates import issue, write
from zeekfleet import Client
from zeekfleet.broker.events import controller as api
from zeekfleet.client.tls import TlsSettings, client_context
from zeekfleet.errors import TransportError
from zeekfleet.model.management import Instance, Result
from zeekfleet.pki.directory import PkiDirectory
from zeekfleet.pki.records import find
from zeekfleet.transport.encryption import ServerTls
from zeekfleet.transport.tls import server_context
from zeekfleet.transport.websocket import WebSocketBus

AUTHORITY = trustme.CA()


@pytest.fixture
async def secure(controller: Any, tmp_path: Path) -> int:
    """The port of the scripted controller's TLS listener; certificates stand in ``tmp_path``."""
    endpoint: WebSocketBus = controller.endpoint
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    write(AUTHORITY.cert_pem, tmp_path / "ca.pem")
    write(trustme.CA().cert_pem, tmp_path / "other.pem")
    write(AUTHORITY.issue_cert("client").private_key_and_cert_chain_pem, tmp_path / "client.pem")
    controller.on(
        api.GetInstancesRequest, lambda r: api.GetInstancesResponse(r.reqid, Result(r.reqid, data=(Instance("a"),)))
    )
    return await endpoint.listen("127.0.0.1", 0, tls=ServerTls(lambda: context))


def options(port: int, **settings: str) -> list[str]:
    chosen = {"ssl.enable": "yes", "client.peering_attempts": "2"} | {
        f"ssl.{key}": path for key, path in settings.items()
    }
    return [
        "--controller",
        f"127.0.0.1:{port}",
        *(word for item in chosen.items() for word in ("--set", "=".join(item))),
    ]


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({}, 0),
        ({"certificate": "client.pem", "cafile": "ca.pem"}, 0),
        ({"certificate": "client.pem", "cafile": "other.pem"}, 1),
        ({"certificate": "absent.pem"}, 1),
        ({"certificate": "client.pem", "cafile": "absent.pem"}, 1),
    ],
)
async def test_like_zeek_client(secure: int, run: Any, settings: dict[str, str], code: int):
    theirs, ours = await asyncio.gather(
        run("zeek-client", *options(secure, **settings), "get-instances"),
        run("zeekfleet", "--json", *options(secure, **settings), "get-instances"),
    )
    assert (ours.code, ours.stdout) == (theirs.code, theirs.stdout)
    assert ours.code == code
    # On a busy machine it may also say that it waits.
    told = [line for line in ours.stderr.splitlines() if not line.startswith("waiting for the controller")]
    assert len(told) == (code != 0)


@pytest.mark.parametrize(("authority", "code"), [("ca.pem", 0), ("other.pem", 1)])
async def test_trusted_certificates_alone_verify_the_server(secure: int, run: Any, authority: str, code: int):
    done = await run("zeekfleet", "--json", *options(secure, cafile=authority), "get-instances")
    assert done.code == code
    assert ("certificate verify failed" in done.stderr) == (code == 1)


async def test_certificates_of_our_own_authority(controller: Any, run: Any, tmp_path: Path):
    """With a passphrase, until they are revoked."""
    controller.on(api.GetInstancesRequest, lambda r: api.GetInstancesResponse(r.reqid, Result(r.reqid, data=())))
    pki = PkiDirectory.create(tmp_path / "pki")
    server, client = issue(pki, "controller/c1", "127.0.0.1"), issue(pki, "admin/bob", passphrase="open-sesame")
    files = {"certificate": client.certificate, "keyfile": client.key, "cafile": client.authorities}

    async def codes(**more: str) -> set[int]:
        port = await controller.endpoint.listen(
            "127.0.0.1", 0, tls=ServerTls(functools.partial(server_context, server))
        )
        words = (*options(port, **files, **more), "get-instances")
        done = await asyncio.gather(run("zeek-client", *words), run("zeekfleet", "--json", *words))
        return {each.code for each in done}

    assert await codes(passphrase="open-sesame") == {0}
    assert await codes(passphrase="wrong") == {1}
    pki.revoke(find(pki.issued(), "bob"))
    assert await codes(passphrase="open-sesame") == {1}


@pytest.mark.parametrize("expired", ["server", "client"])
async def test_a_certificate_that_has_expired_is_named_by_the_api_too(
    controller: Any, tmp_path: Path, expired: str
) -> None:
    past = datetime.now(UTC) - timedelta(days=1)
    for who, name in (("server", "127.0.0.1"), ("client", "client.example")):
        old = {"not_before": past - timedelta(days=1), "not_after": past} if who == expired else {}
        write(AUTHORITY.issue_cert(name, **old).private_key_and_cert_chain_pem, tmp_path / f"{who}.pem")
    write(AUTHORITY.cert_pem, tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    context.load_verify_locations(tmp_path / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    port = await controller.endpoint.listen("127.0.0.1", 0, tls=ServerTls(lambda: context))
    tls = client_context(TlsSettings(str(tmp_path / "client.pem"), cafile=str(tmp_path / "ca.pem")))
    name = f"the certificate of 127.0.0.1:{port}" if expired == "server" else f"certificate {tmp_path}/client.pem"
    with pytest.raises(TransportError, match=f"within 1 s: {name} has expired on {past:%Y-%m-%d}"):
        async with Client("127.0.0.1", port, tls=tls, connect_timeout=1):
            raise AssertionError("it is connected")
