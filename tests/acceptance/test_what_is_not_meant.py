"""Configurations that are refused, whoever sends them, and files that zeekfleet refuses: what runs goes on."""

from __future__ import annotations

from fleet import Fleet, ini, node

GOOD = {"manager": node("a1", "manager"), "w1": node("a1", "worker", interface="lo")}


def test_what_is_not_meant_is_refused_and_what_runs_goes_on(fleet: Fleet) -> None:
    fleet.deploy(ini(["a1"], GOOD))
    pids = fleet.pids()

    for name, reason in (
        ("a=b", "node name 'a=b' is not allowed, expected 1 to 64 letters"),
        ("--help", "node name '--help' is not allowed, expected 1 to 64 letters"),
        ("controller", "node 'controller' has the name of the controller"),
    ):
        answer = fleet.client("deploy-config", "-", text=ini(["a1"], {**GOOD, name: node("a1", "worker")}))
        assert answer.code == 1
        assert [error.startswith(reason) for error in answer.errors] == [True]

    big = {**GOOD, "w2": node("a1", "worker", interface="lo", env=f"A={'x' * 140_000}")}
    answer = fleet.client("deploy-config", "-", text=ini(["a1"], big))
    assert answer.errors == ["node 'w2': variable A takes 140002 bytes, expected at most 131071"]

    for text in ("", ini(["a1"], {})):
        answer = fleet.zeekfleet("deploy-config", "-", text=text)
        assert (answer.code, answer.out) == (1, "")
        assert "there is no node in cluster configuration standard input" in answer.err
    misspelt = ini(["a1"], {**GOOD, "w2": node("a1", "worker", interfce="lo")})
    for verb in ("deploy-config", "stage-config", "check"):
        answer = fleet.zeekfleet(verb, "-", text=misspelt)
        assert answer.code == 1
        assert "key 'interfce': is unknown (did you mean 'interface'?)" in answer.err

    assert fleet.pids() == pids
    assert fleet.zeekfleet("deploy-config", "--allow-empty", "-", text=ini(["a1"], {})).code == 0
    assert fleet.pids() == {}


def test_check_finds_what_is_hardly_meant(fleet: Fleet) -> None:
    answer = fleet.zeekfleet("check", "-", "--json", text=ini(["a1"], {"w1": node("a1", "worker")}))
    assert answer.code == 1
    errors = [error["error"] for error in answer.errors]
    assert "there is no manager: a Zeek cluster needs one" in errors
    assert "worker 'w1' with neither interface nor pcap_file: there is nothing to read" in errors
