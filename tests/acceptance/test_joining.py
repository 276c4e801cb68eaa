"""Agents on another host join with tokens, and their certificates are renewed while everything runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fleet import Fleet, ini, node
from namespaces import Host, possible, two_hosts

from support.waiting import until
from zeekfleet.pki import building, reading
from zeekfleet.pki.directory import PkiDirectory
from zeekfleet.pki.handout import replace_file
from zeekfleet.security.identity import Identity, PeerRole

pytestmark = pytest.mark.skipif(not possible(), reason="needs root and ip to make network namespaces")

NODES = {
    "manager": node("a1", "manager"),
    "logger": node("a1", "logger"),
    "worker": node("a1", "worker", interface="lo"),
}
REFUSED = "refuses the token: the token is not accepted: the controller's log says why"


class Site:
    """A controller with an authority on one host, and another host."""

    def __init__(self, fleet: Fleet, here: Host, there: Host) -> None:
        self.fleet, self.here, self.there = fleet, here, there
        fleet.certify(here.address, {})
        fleet.start_controller(listen=here.address)
        self.pki = PkiDirectory(fleet.root / "c" / "pki")

    def join(self, agent: str, token: str, **options: object) -> None:
        """Run an agent on the other host that has only a token."""
        with self.there.inside():
            place = f"{self.here.address}:{self.fleet.agent_port}"
            self.fleet.start_agent(agent, **{"controller": place, "join": token, **options})

    def refused(self, directory: str, token: str, **options: object) -> str:
        """What an agent says that may not join; it has a state directory of its own, and its name from the token."""
        state = {"state_dir": self.fleet.root / directory, "spool_dir": self.fleet.root / f"{directory}-spool"}
        with pytest.raises(AssertionError, match="does not serve") as ended:
            self.join(token.rpartition(".")[2], token, **state, **options)
        assert not list((self.fleet.root / directory).glob("pki/certificates/agent-*"))
        return str(ended.value)

    def logged(self, text: str, times: int = 1) -> None:
        assert self.fleet.controller is not None
        assert self.fleet.controller.log.wait_for(text, times), self.fleet.controller.log

    def file(self, owner: str, state: str) -> Path:
        return self.fleet.root / state / "pki" / "certificates" / f"{owner}.pem"

    def end_soon(self, file: Path) -> None:
        """Put another certificate of the same owner and key in place of one; it ends in a minute."""
        present = reading.read_certificate(file.read_bytes(), str(file))
        identity = reading.identity_of(present)
        assert identity is not None
        key = reading.public_key_of(present)
        issued = self.pki.issue(identity, reading.hosts_of(present), key, 60 / 86400)
        replace_file(file, issued.certificate.encode())


@pytest.fixture
def site(new_fleet: Callable[[], Fleet]) -> Iterator[Site]:
    with two_hosts("10.78.0.1", "10.78.0.2") as (here, there), here.inside():
        fleet = new_fleet()
        try:
            yield Site(fleet, here, there)
        finally:
            fleet.stop()


def end_of(file: Path) -> datetime:
    return reading.read_certificate(file.read_bytes(), str(file)).not_valid_after_utc


def test_a_host_joins_and_certificates_are_renewed_under_way(site: Site) -> None:
    fleet = site.fleet
    token = fleet.token("a1")
    site.join("a1", token)
    assert token.encode() not in Path(f"/proc/{fleet.agents['a1'].process.pid}/cmdline").read_bytes()
    fleet.wait_for_instances("a1")
    fleet.deploy(ini(["a1"], NODES))
    fleet.wait_for_states("RUNNING", *NODES)
    pids = fleet.pids()
    assert fleet.controller is not None

    later = datetime.now(UTC) + timedelta(hours=12)
    for owner, state in (("agent-a1", "a1"), ("controller-controller", "c")):
        file = site.file(owner, state)
        key = file.with_suffix(".key").read_bytes()
        site.end_soon(file)
        until(lambda file=file: end_of(file) > later, f"the certificate of {owner} is renewed")  # type: ignore[misc]
        assert file.with_suffix(".key").read_bytes() == key
    site.logged("renewed the certificate of agent 'a1'")
    site.logged("the certificate of controller/controller is renewed")
    fleet.deploy(ini(["a1"], NODES))
    assert fleet.pids() == pids
    assert fleet.controller.log.count("instance a1 is gone") == 0

    # That others are revoked concerns no connection but theirs.
    revoked = fleet.root / "a1" / "pki" / "crl.pem"
    before = revoked.read_bytes()
    log = fleet.root / "a1" / "nodes" / "a1" / "stderr"
    read_again = "certificates were read again"
    count = log.read_text().count(read_again)
    other = site.pki.issue(Identity(PeerRole.AGENT, "other"), (), building.make_key().public_key(), 1)
    site.pki.revoke([other])
    until(lambda: revoked.read_bytes() != before, "the agent has the list of revoked certificates")
    assert revoked.read_bytes() == site.pki.revocation_list.read_bytes()
    until(lambda: log.read_text().count(read_again) > count, "the agent reads it")
    assert fleet.controller.log.count("instance a1 is gone") == 0

    # The renewed certificate is the one that counts.
    with site.there.inside():
        fleet.agents["a1"].stop()
        fleet.agents["a1"].start()
    fleet.wait_for_instances("a1")


def test_a_unit_file_may_keep_the_token(site: Site) -> None:
    fleet = site.fleet
    site.join("a1", fleet.token("a1"))
    fleet.wait_for_instances("a1")
    agent, file = fleet.agents["a1"], site.file("agent-a1", "a1")
    before = file.read_bytes()
    agent.stop()
    with site.there.inside():
        agent.start()
    assert agent.log.wait_for(f"the token is ignored: {file} is valid until")
    fleet.wait_for_instances("a1")
    assert file.read_bytes() == before


def test_a_token_in_a_file_or_in_the_environment(site: Site) -> None:
    fleet = site.fleet
    token = fleet.root / "token"
    token.touch(mode=0o600)
    token.write_text(fleet.token("a1") + "\n")
    site.join("a1", "", join=None, join_file=token)
    fleet.wait_for_instances("a1")
    token.unlink()
    fleet.agents["a1"].stop()
    with site.there.inside():
        fleet.agents["a1"].start()
    fleet.wait_for_instances("a1")
    variable = fleet.token("a2")
    os.environ["ZEEKFLEET_JOIN"] = variable
    try:
        site.join("a2", "", join=None)
    finally:
        del os.environ["ZEEKFLEET_JOIN"]
    fleet.wait_for_instances("a1", "a2")
    fleet.deploy(ini(["a1", "a2"], NODES))
    fleet.wait_for_states("RUNNING", *NODES)
    for pid in fleet.pids().values():
        assert b"ZEEKFLEET_JOIN" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_tokens_that_are_not_accepted(site: Site) -> None:
    fleet = site.fleet
    used = fleet.token("a1")
    site.join("a1", used)
    fleet.wait_for_instances("a1")
    with site.there.inside():
        fleet.agents["a1"].stop()
    prefix, secret, fingerprint, _ = used.split(".")

    assert REFUSED in site.refused("again", used)
    site.logged("may not join as 'a1': the token was used on")

    fleet.token("a2")
    assert REFUSED in site.refused("a2", f"{prefix}.{secret}.{fingerprint}.a2")
    site.logged("may not join as 'a2': the secret is not that of the token for this name")
    assert REFUSED in site.refused("a3", f"{prefix}.{secret}.{fingerprint}.a3")
    site.logged("may not join as 'a3': there is no token for this name")

    expired = fleet.token("a4")
    kept = site.pki.path / "tokens" / "agent-a4.json"
    content = json.loads(kept.read_bytes())
    kept.write_text(json.dumps({**content, "made": content["made"] - 7200, "expires": content["made"] - 3600}))
    assert REFUSED in site.refused("a4", expired)
    site.logged("may not join as 'a4': the token has expired on")

    mine = fleet.token("a5")
    with pytest.raises(AssertionError, match="'other' is not the name that the token is for, which is 'a5'"):
        site.join("other", mine)
    site.join("a5", mine)
    fleet.wait_for_instances("a5")


def test_a_controller_with_another_authority_never_sees_the_token(site: Site) -> None:
    fleet = site.fleet
    real, foreign = fleet.root / "c" / "pki", fleet.root / "foreign"
    assert fleet.controller is not None
    fleet.controller.stop()
    token = fleet.token("a1")
    real.rename(foreign)
    fleet.certify(site.here.address, {})
    fleet.token("a1")
    fleet.controller.start()
    told = site.refused("a1", token)
    assert "is not the one that the token is from: its authority has another fingerprint" in told
    assert fleet.controller.log.count("may not join") == 0


def test_a_controller_without_the_key_of_its_authority_says_so(site: Site) -> None:
    fleet = site.fleet
    token = fleet.token("a1")
    key = site.pki.path / "ca.key"
    key.rename(fleet.root / "ca.key")
    assert fleet.controller is not None
    fleet.controller.stop()
    fleet.controller.start()
    assert "takes no tokens: there is no authority on its host" in site.refused("a1", token)


def test_an_agent_that_is_connected_keeps_its_place(site: Site) -> None:
    fleet = site.fleet
    site.join("a1", fleet.token("a1"))
    fleet.wait_for_instances("a1")
    token = fleet.token("a1")
    assert "an agent named a1 is connected: stop it, then join" in site.refused("elsewhere", token)
    with site.there.inside():
        fleet.agents["a1"].stop()
    fleet.wait_for_instances()
    site.join("a1", token, state_dir=fleet.root / "elsewhere")
    fleet.wait_for_instances("a1")


def test_the_controller_connects_to_an_agent_that_has_joined(site: Site) -> None:
    """The hosts in the certificate are those that the token was made for."""
    fleet = site.fleet
    token = fleet.token("a1", "--host", site.there.address)
    site.join("a1", token)
    fleet.wait_for_instances("a1")
    fleet.agents["a1"].stop()
    with site.there.inside():
        fleet.start_agent("a1", controller="none", listen=site.there.address, port=2151)
    fleet.deploy(ini([f"a1 = {site.there.address}:2151"], NODES))
    fleet.wait_for_states("RUNNING", *NODES)
    file = site.file("agent-a1", "a1")
    later = datetime.now(UTC) + timedelta(hours=12)
    site.end_soon(file)
    until(lambda: end_of(file) > later, "the certificate is renewed")
