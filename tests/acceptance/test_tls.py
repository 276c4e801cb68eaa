"""TLS between zeek-client and the controller."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from fleet import Fleet, ini, node

from support.certificates import write

ONCE = ["client.peering_attempts=2"]  # one for the connection, one for the handshake


@dataclass(frozen=True)
class Certificates:
    """PEM files."""

    authority: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path
    stranger: Path
    stranger_key: Path

    def settings(self, who: str = "client") -> list[str]:
        """zeek-client's, for the client or the stranger."""
        return [
            *ONCE,
            "ssl.enable=true",
            f"ssl.certificate={getattr(self, who)}",
            f"ssl.keyfile={getattr(self, f'{who}_key')}",
            f"ssl.cafile={self.authority}",
        ]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    directory = tmp_path_factory.mktemp("tls")
    authority, other = trustme.CA(), trustme.CA()
    write(authority.cert_pem, directory / "authority.pem")
    files = [directory / "authority.pem"]
    for name, issuer in (("server", authority), ("client", authority), ("stranger", other)):
        issued = issuer.issue_cert("127.0.0.1" if name == "server" else f"{name}.example")
        for suffix, blob in (("pem", issued.cert_chain_pems[0]), ("key", issued.private_key_pem)):
            write(blob, directory / f"{name}.{suffix}")
            files.append(directory / f"{name}.{suffix}")
    return Certificates(*files)


def test_a_client_that_knows_the_authority(new_fleet, certificates: Certificates) -> None:
    fleet: Fleet = new_fleet()
    fleet.start_controller(tls_certificate=certificates.server, tls_key=certificates.server_key)
    fleet.start_agent("a1")
    configuration = ini(["a1"], {"m": node("a1", "manager")})
    answer = fleet.client("deploy-config", "-", text=configuration, settings=certificates.settings())
    assert answer.code == 0, answer
    assert answer.results["nodes"] == {"m": {"instance": "a1", "success": True}}
    # Without TLS there is no service on that port, and no harm done to it.
    assert fleet.client("get-nodes", settings=ONCE).code == 1
    assert fleet.client("get-instances", settings=certificates.settings()).json == {"a1": {"host": "127.0.0.1"}}


def test_with_an_authority_only_its_clients_are_served(new_fleet, certificates: Certificates) -> None:
    fleet: Fleet = new_fleet()
    fleet.start_controller(
        tls_certificate=certificates.server, tls_key=certificates.server_key, tls_ca=certificates.authority
    )
    assert fleet.client("get-instances", settings=certificates.settings()).json == {}
    assert fleet.client("get-instances", settings=certificates.settings("stranger")).code == 1
    assert fleet.client("get-instances", settings=[*ONCE, "ssl.enable=true"]).code == 1
    assert fleet.client("get-instances", settings=certificates.settings()).json == {}
