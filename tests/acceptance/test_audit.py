"""Who deployed, from where, and what came of it: in the audit log, in events, and beside the configuration."""

from __future__ import annotations

import json
import os

from fleet import Fleet, ini, node

from support.waiting import until
from zeekfleet.security.users import name_of

HERE = {"m": node("a1", "manager")}


def records(fleet: Fleet, *words: str) -> list[dict[str, object]]:
    state = ("--state-dir", str(fleet.root / "c"))
    answer = fleet.zeekfleet("audit", *state, "--json", *words)
    assert answer.code == 0, answer
    return [json.loads(line) for line in answer.out.splitlines()]


def test_a_deployment_is_recorded_with_who_asked_for_it(fleet: Fleet) -> None:
    before = len(records(fleet, "-n", "100000"))
    identifier = fleet.deploy(ini(["a1"], HERE)).results["id"]
    fleet.client("get-nodes")
    fleet.client("restart", "m")
    bad = fleet.client("deploy-config", "-", text=ini(["a1"], {"--help": node("a1", "worker")}))
    assert bad.code == 1

    who = name_of(os.geteuid())
    new = records(fleet, "-n", "100000")[before:]
    assert [(record["request"], record["outcome"]) for record in new[:6]] == [
        ("stage_configuration_request", "asked"),
        ("stage_configuration_request", "done"),
        ("deploy_request", "asked"),
        ("deploy_request", "done"),
        ("restart_request", "asked"),
        ("restart_request", "done"),
    ]
    assert new[-1]["request"] == "stage_configuration_request"
    assert str(new[-1]["outcome"]).startswith("failed: node name '--help' is not allowed")
    assert {record["who"] for record in new} == {who}
    assert all(str(record["from"]).startswith("127.0.0.1:") for record in new)
    assert (new[0]["config"], new[0]["instances"], new[0]["nodes"]) == (identifier, ["a1"], ["m"])
    assert new[4]["nodes"] == ["m"]
    assert (fleet.root / "c" / "audit.log").stat().st_mode & 0o777 == 0o600

    verified = fleet.zeekfleet("audit", "--state-dir", str(fleet.root / "c"), "--verify")
    assert verified.code == 0
    assert verified.out.splitlines()[-1] == "the chain is whole"

    deployed = fleet.zeekfleet("get-config", "--deployed")
    assert f" by {who} from 127.0.0.1:" in deployed.err
    assert deployed.out == fleet.client("get-config", "--deployed").out

    def told() -> bool:
        events = [json.loads(line) for line in fleet.zeekfleet("events", "--json").out.splitlines()]
        ours = [event for event in events if event["kind"] == "deployment" and event["config"] == identifier]
        return bool(ours) and all(str(event["by"]).startswith(f"{who} from 127.0.0.1:") for event in ours)

    until(told, "the event names who deployed")


def test_the_chain_goes_on_after_the_controller_was_killed(new_fleet: object) -> None:
    fleet = new_fleet()  # type: ignore[operator]
    daemon = fleet.start_controller(request_timeout=1)
    fleet.client("stage-config", "-", text=ini(["a1"], HERE))
    daemon.process.kill()
    daemon.process.wait()
    log = fleet.root / "c" / "audit.log"
    with log.open("ab") as stream:
        stream.write(b'{"number":3,"ti')
    daemon.start()
    fleet.client("stage-config", "-", text=ini(["a1"], HERE))
    answer = fleet.zeekfleet("audit", "--state-dir", str(fleet.root / "c"), "--verify")
    assert answer.code == 0, answer
    assert "line 3 was cut short" in answer.out
    assert [record["number"] for record in records(fleet)] == [1, 2, 4, 5]
