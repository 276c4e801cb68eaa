"""The audit log: its chain, and what the controller records."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from zeekfleet.broker.events import agent, checks, controller, deployments, dispatches, stops
from zeekfleet.broker.events.base import Event
from zeekfleet.cli import audit as verb
from zeekfleet.cli.main import main
from zeekfleet.controller.audit import AuditTrail
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node, Result
from zeekfleet.security import audit
from zeekfleet.security.identity import Identity, PeerRole
from zeekfleet.security.permissions import TABLE
from zeekfleet.transport.bus import Peer

PEER = Peer(1, "zeek-client", "127.0.0.1", "127.0.0.1:40112", uid=0)
SECRET = "hunter2"
CONFIGURATION = Configuration(
    "c1", (Instance("a1"),), (Node("w1", "a1", ClusterRole.WORKER, State.RUNNING, env={"PASSWORD": SECRET}),)
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


@pytest.fixture
def trail(file: Path) -> Iterator[AuditTrail]:
    made = AuditTrail(file, 2**20, 3, clock=lambda: 1000.0)
    yield made
    made.close()


def lines_of(file: Path) -> list[bytes]:
    return [line for part in audit.parts(file) for line in part.read_bytes().split(b"\n") if line]


def restart(trail: AuditTrail, number: int = 1) -> None:
    trail.asked(controller.RestartRequest(f"r{number}", frozenset({"w1"})), PEER)


def test_a_request_has_a_record_before_and_after(trail: AuditTrail, file: Path) -> None:
    request = controller.DeployRequest("d")
    trail.asked(request, PEER)
    trail.answered(request, PEER, controller.DeployResponse("d", (Result("d"), Result("d", False, error="no room"))))
    assert file.stat().st_mode & 0o777 == 0o600
    first, second = (json.loads(line) for line in lines_of(file))
    assert first == {
        "number": 1, "time": 1000.0, "who": "root (0)", "origin": "127.0.0.1:40112, zeek-client",
        "request": "deploy_request", "reqid": "d", "outcome": "asked", "previous": audit.BEGINNING, "asked": {},
    }  # fmt: skip
    assert (second["number"], second["outcome"]) == (2, "failed: no room")
    assert second["previous"] == audit.digest(lines_of(file)[0])


@pytest.mark.parametrize(
    ("event", "about"),
    [
        (controller.StageConfigurationRequest("r", CONFIGURATION), audit.Asked("c1", ("a1",), ("w1",))),
        (controller.SetConfigurationRequest("r", CONFIGURATION), audit.Asked("c1", ("a1",), ("w1",))),
        (checks.ControllerCheckRequest("r", CONFIGURATION), audit.Asked("c1", ("a1",), ("w1",))),
        (controller.RestartRequest("r", frozenset({"b", "a"})), audit.Asked(nodes=("a", "b"))),
        (stops.ControllerHurry(frozenset({"a"})), audit.Asked(nodes=("a",))),
        (dispatches.ControllerDispatchRequest("r", ("set_option", "X::y", SECRET)),
         audit.Asked(action=("set_option", "X::y"))),
        (deployments.AbortDeploymentRequest("r", "d\n"), audit.Asked(deployment="d\\n")),
        (controller.DeployRequest("r"), audit.Asked()),
    ],
)  # fmt: skip
def test_what_is_recorded_holds_no_secrets(trail: AuditTrail, file: Path, event: Event, about: audit.Asked) -> None:
    trail.asked(event, PEER)
    (line,) = lines_of(file)
    record = audit.decode(line)
    assert record is not None
    assert record.asked == about
    assert SECRET.encode() not in line


def test_all_changing_requests_are_among_those() -> None:
    changing = {event for event, row in TABLE.items() if row.changes}
    assert changing == {
        controller.StageConfigurationRequest, controller.SetConfigurationRequest, controller.DeployRequest,
        controller.RestartRequest, checks.ControllerCheckRequest, stops.ControllerHurry,
        dispatches.ControllerDispatchRequest, deployments.AbortDeploymentRequest,
    }  # fmt: skip


def test_what_only_reads_is_not_recorded(trail: AuditTrail, file: Path) -> None:
    request = controller.GetNodesRequest("r")
    trail.asked(request, PEER)
    trail.answered(request, PEER, None)
    assert file.read_bytes() == b""


def test_records_are_short_whatever_is_asked(trail: AuditTrail, file: Path) -> None:
    long = "x" * 100_000
    peer = Peer(1, long, "127.0.0.1", "127.0.0.1:1")
    trail.asked(controller.RestartRequest(long, frozenset(f"{long}{number}" for number in range(1000))), peer)
    trail.answered(
        controller.DeployRequest(long), peer, controller.DeployResponse("", (Result("", False, error=long),))
    )
    assert all(len(line) < 16_384 for line in lines_of(file))
    record = audit.decode(lines_of(file)[0])
    assert record is not None
    assert record.asked is not None
    assert (record.who, len(record.asked.nodes), record.asked.more) == ("unknown", audit.MOST_NAMES, 950)


def test_refusals_of_clients_are_recorded_once_a_minute(trail: AuditTrail, file: Path) -> None:
    for _ in range(100):
        trail.refused(PEER, controller.DeployRequest("d"), "deploy_request is for an admin")
        trail.refused(PEER, controller.GetIdValueRequest("r", "x"), "get_id_value_request is for an operator")
        trail.refused(PEER, agent.RestartRequest("r"), "not a client's")
        trail.refused(PEER, controller.DeployResponse("d", ()), "not a client's")
    outcomes = [json.loads(line)["outcome"] for line in lines_of(file)]
    assert outcomes == [
        "refused: deploy_request is for an admin",
        "refused: get_id_value_request is for an operator",
    ]


def test_the_chain_goes_on_in_the_next_process_and_the_next_part(file: Path) -> None:
    for number in range(30):
        made = AuditTrail(file, 4096, 2)
        restart(made, number)
        made.close()
    assert [part.name for part in audit.parts(file)] == ["audit.log.1", "audit.log"]
    many = AuditTrail(file, 4096, 2)
    for number in range(200):
        restart(many, number)
    many.close()
    assert [part.name for part in audit.parts(file)] == ["audit.log.2", "audit.log.1", "audit.log"]
    assert all(part.stat().st_size <= 4096 for part in audit.parts(file))
    found = audit.verify(lines_of(file))
    assert found.problems == ()
    assert found.records[-1].number == 230
    assert found.records[0].number > 1  # the oldest parts have gone


def test_a_part_that_was_begun_and_is_empty_still_follows(file: Path) -> None:
    first = AuditTrail(file, 2**20, 2)
    restart(first)
    first.close()
    file.replace(audit.part(file, 1))
    file.touch()
    second = AuditTrail(file, 2**20, 2)
    restart(second, 2)
    second.close()
    assert audit.verify(lines_of(file)).problems == ()
    assert [record.number for record in audit.verify(lines_of(file)).records] == [1, 2]


@pytest.mark.parametrize("kept", [1, 20, 150])
def test_a_torn_last_line_is_terminated_and_told(file: Path, kept: int) -> None:
    first = AuditTrail(file, 2**20, 2)
    restart(first, 1)
    restart(first, 2)
    first.close()
    whole = lines_of(file)[0] + b"\n"
    file.write_bytes(whole + lines_of(file)[1][:kept])
    second = AuditTrail(file, 2**20, 2)
    restart(second, 3)
    second.close()
    found = audit.verify(lines_of(file))
    assert found.problems == ()
    assert found.torn == (2,)
    assert [record.reqid for record in found.records] == ["r1", "r3"]
    assert found.records[1].number == 3


def test_whoever_touches_the_chain_breaks_it(trail: AuditTrail, file: Path) -> None:
    for number in range(1, 6):
        restart(trail, number)
    good = lines_of(file)
    assert audit.verify(good).problems == ()
    for at in range(1, 4):
        changed = [*good[:at], good[at].replace(b"root", b"toor"), *good[at + 1 :]]
        assert f"line {at + 2} does not follow" in audit.verify(changed).problems[0]
        missing = [*good[:at], *good[at + 1 :]]
        assert f"line {at + 1} does not follow" in audit.verify(missing).problems[0]
        added = [*good[:at], good[at - 1], *good[at:]]
        assert f"line {at + 1} does not follow" in audit.verify(added).problems[0]
        torn = [*good[:at], good[at][:40], *good[at + 1 :]]
        assert audit.verify(torn).problems
    swapped = [good[1], good[0], *good[2:]]
    assert audit.verify(swapped).problems
    renumbered = [good[0], good[1].replace(b'"number":2', b'"number":9')]
    assert audit.verify(renumbered).problems == ("line 2 has the number 9, expected 2",)
    forged = [good[0].replace(b'"previous":"0', b'"previous":"1')]
    assert audit.verify(forged).problems
    # Without its beginning and its end the rest still fits together; the number and the digest tell.
    cut = audit.verify(good[1:-1])
    assert cut.problems == ()
    assert (cut.records[0].number, cut.digest) == (2, audit.digest(good[-2]))


def test_requests_go_on_when_the_log_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = AuditTrail(tmp_path / "missing" / "audit.log", 2**20, 3)
    for number in range(10):
        restart(made, number)
    assert len([record for record in caplog.records if "the audit log is not written" in record.getMessage()]) == 1
    (tmp_path / "missing").mkdir()
    restart(made)
    made.close()
    assert len(lines_of(tmp_path / "missing" / "audit.log")) == 1


async def test_records_are_forced_to_disk_once_for_many(trail: AuditTrail, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    synced = asyncio.Event()
    times: list[int] = []
    real = os.fdatasync

    def counted(descriptor: int) -> None:
        times.append(descriptor)
        real(descriptor)
        loop.call_soon_threadsafe(synced.set)

    monkeypatch.setattr(os, "fdatasync", counted)
    running = asyncio.create_task(trail.run())
    for number in range(100):
        restart(trail, number)
    trail.asked(controller.GetNodesRequest("r"), PEER)
    async with asyncio.timeout(20):
        await synced.wait()
    running.cancel()
    await asyncio.wait({running})
    assert len(times) <= 2


# --- the verb


def shown(capsys: pytest.CaptureFixture[str], state: Path, *words: str) -> tuple[int, str, str]:
    code = main(["audit", "--state-dir", str(state), *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_verb_lists_and_verifies(trail: AuditTrail, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = file.parent
    assert shown(capsys, state)[:2] == (0, "nothing was asked for\n")
    for number in range(1, 61):
        restart(trail, number)
    code, out, err = shown(capsys, state)
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == verb.LATEST + 1
    assert "root (0)" in out
    assert "restart_request" in out
    code, out, _ = shown(capsys, state, "--json", "-n", "2")
    assert [json.loads(line)["reqid"] for line in out.splitlines()] == ["r59", "r60"]
    assert json.loads(out.splitlines()[0]).keys() == {
        "number", "time", "who", "from", "request", "reqid", "config", "instances", "nodes", "action", "deployment",
        "more", "outcome",
    }  # fmt: skip
    assert shown(capsys, state, "--since", "1h")[1] == "nothing was asked for\n"  # the clock stood at 1970
    code, out, _ = shown(capsys, state, "--verify")
    assert code == 0
    assert out.splitlines()[0] == f"60 records; the digest of the last line is {audit.digest(lines_of(file)[-1])}"
    assert out.splitlines()[-1] == "the chain is whole"
    file.write_bytes(file.read_bytes().replace(b'"r7"', b'"r8"'))
    code, out, err = shown(capsys, state, "--verify")
    assert code == 1
    assert "the chain is whole" not in out
    assert err.startswith("error: line 8 does not follow from the line before it")
    code, out, _ = shown(capsys, state, "--verify", "--json")
    assert (code, len(json.loads(out)["problems"])) == (1, 1)


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5"])
def test_wrong_numbers_are_refused(number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, tmp_path, f"--lines={number}")[0] == 2


def test_a_log_that_cannot_be_read_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "audit.log").mkdir()
    code, _, err = shown(capsys, tmp_path)
    assert code == 1
    assert "cannot be read: Is a directory" in err


def test_whose_certificate_it_was_comes_first(trail: AuditTrail, file: Path) -> None:
    peer = Peer(1, "", "192.0.2.7", "192.0.2.7:4711", identity=Identity(PeerRole.OPERATOR, "alice"), uid=0)
    trail.asked(controller.RestartRequest("r"), peer)
    trail.asked(controller.RestartRequest("r"), Peer(2, "", "192.0.2.7", "192.0.2.7:4712"))
    records = audit.verify(lines_of(file)).records
    assert [(record.who, record.origin) for record in records] == [
        ("operator/alice", "192.0.2.7:4711"),
        ("unknown", "192.0.2.7:4712"),
    ]
