"""Two hosts whose programs know each other by certificates, and by nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fleet import Fleet, ini, node
from namespaces import Host, possible, two_hosts

from support.waiting import until

pytestmark = pytest.mark.skipif(not possible(), reason="needs root and ip to make network namespaces")

NODES = {
    "manager": node("a1", "manager"),
    "logger": node("a1", "logger"),
    "worker": node("a2", "worker", interface="lo"),
}


class Site:
    """Two hosts with a controller on the first, and how its agents are started."""

    def __init__(self, fleet: Fleet, here: Host, there: Host) -> None:
        self.fleet, self.here, self.there = fleet, here, there

    def agent(self, name: str, host: Host, **options: object) -> None:
        with host.inside():
            given = {"controller": f"{self.here.address}:{self.fleet.agent_port}", **options}
            self.fleet.start_agent(name, **given)

    def told(self, name: str, text: str) -> None:
        """Wait until a daemon's log has this text: the controller's, or an agent's by its name."""
        if name == "controller":
            assert self.fleet.controller is not None
            assert self.fleet.controller.log.wait_for(text), self.fleet.controller.log
        else:
            log = self.fleet.root / name / "nodes" / name / "stderr"
            until(lambda: text in log.read_text(), f"{text!r} in the log of {name}")


@pytest.fixture
def site(new_fleet: Callable[[], Fleet]) -> Iterator[Site]:
    with two_hosts("10.78.0.1", "10.78.0.2") as (here, there), here.inside():
        fleet = new_fleet()
        try:
            yield Site(fleet, here, there)
        finally:
            fleet.stop()


@pytest.mark.parametrize("dialled", [False, True], ids=["agents dial", "controller dials"])
def test_a_cluster_over_two_hosts_whose_certificates_are_renewed_and_revoked(site: Site, dialled: bool) -> None:
    fleet, here, there = site.fleet, site.here, site.there
    fleet.certify(here.address, {"a1": here.address, "a2": there.address})
    fleet.start_controller(listen=here.address)
    listening = {"controller": "none", "port": 2151}
    for name, host in (("a1", here), ("a2", there)):
        site.agent(name, host, **({**listening, "listen": host.address} if dialled else {}))
    if not dialled:
        fleet.wait_for_instances("a1", "a2")
    places = [f"{name} = {host.address}:2151" for name, host in (("a1", here), ("a2", there))]
    fleet.deploy(ini(places if dialled else ["a1", "a2"], NODES))
    fleet.wait_for_states("RUNNING", *NODES)
    pids = fleet.pids()

    certificate = fleet.root / "a2" / "pki" / "certificates" / "agent-a2.pem"
    before = certificate.read_bytes()
    fleet.pki("renew", str(certificate))
    assert certificate.read_bytes() != before
    site.told("a2", "certificates were read again")
    fleet.deploy(ini(places if dialled else ["a1", "a2"], NODES))
    assert fleet.pids() == pids

    fleet.pki("revoke", "a2")
    fleet.wait_for_instances("a1")
    assert all(Path(f"/proc/{pid}").exists() for pid in pids.values())


def test_who_has_no_certificate_or_that_of_somebody_else_is_refused(site: Site) -> None:
    fleet, here, there = site.fleet, site.here, site.there
    fleet.certify(here.address, {"a1": here.address, "a2": there.address})
    fleet.start_controller(listen=here.address)
    stolen = fleet.root / "a2" / "pki"
    shutil.copytree(stolen, fleet.root / "a3" / "pki")
    for file in (fleet.root / "a3" / "pki" / "certificates").glob("agent-a2.*"):
        file.rename(file.with_name(file.name.replace("a2", "a3")))
    site.agent("a3", there)
    site.told("controller", "agent 'a2'")
    site.agent("plain", there, insecure=True)
    site.told("controller", "without TLS")
    fleet.pki("issue", "client", "eve", "--role", "admin", "--out", str(fleet.root / "a4" / "pki" / "certificates"))
    for file in (fleet.root / "a4" / "pki" / "certificates").glob("admin-eve.*"):
        file.rename(file.with_name(f"agent-a4{file.suffix}"))
    site.agent("a4", there)
    site.told("controller", "its certificate is that of admin/eve")
    site.agent("a2", there)
    fleet.wait_for_instances("a2")


def test_another_authority_is_refused_by_both_sides(site: Site) -> None:
    fleet, here, there = site.fleet, site.here, site.there
    fleet.certify(here.address, {"a1": here.address})
    own = fleet.root / "c" / "pki"
    foreign = fleet.root / "foreign"
    own.rename(foreign)
    fleet.certify(here.address, {"a2": there.address})
    fleet.start_controller(listen=here.address)
    site.agent("a1", there)
    site.told("a1", "certificate verify failed")
    site.agent("a2", there)
    fleet.wait_for_instances("a2")


def test_without_certificates_no_other_host_is_served_unless_insecure(site: Site) -> None:
    fleet, here, there = site.fleet, site.here, site.there
    with pytest.raises(Exception, match=r"is not loopback, so controller\.tls_certificate"):
        fleet.start_controller(listen=here.address)
    fleet.start_controller(listen=here.address, insecure=True)
    with pytest.raises(Exception, match=r"is not loopback, so agent\.tls_certificate"):
        site.agent("a1", there)
    site.agent("a1", there, insecure=True)
    fleet.wait_for_instances("a1")
    site.told("controller", "--insecure: whoever can reach a port")
    shown = fleet.zeekfleet("status")
    assert "the controller was started with --insecure" in shown.out
    assert fleet.zeekfleet("--json", "status").json["insecure"] is True
