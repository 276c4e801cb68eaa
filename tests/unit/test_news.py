"""What an operator reads about crashes and connections: the sentences, and the fields beside them."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from zeekfleet.daemon import journal
from zeekfleet.daemon.exits import log_exit
from zeekfleet.lifecycle.wording import next_start_text, ordinal
from zeekfleet.logs.handlers import fields_of
from zeekfleet.model.launch import LaunchSpec, RevivalSettings
from zeekfleet.model.management import NodeOutputs
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.stem.protocol import Exited, LaunchFailed
from zeekfleet.supervisor import NodeExit
from zeekfleet.supervisor.records import Tracked

NONE = NodeOutputs("", "")


@pytest.mark.parametrize(
    ("revive_in", "failed", "attempt", "words"),
    [
        (0.0, False, 1, "started again at once"),
        (2.0, False, 3, "started again in 2 s, 3rd time in 60 s"),
        (0.53, False, 2, "started again in 0.5 s, 2nd time in 60 s"),
        (60.0, True, 6, "tried again in 60 s, 6th time in 60 s"),
        (None, True, 6, "not started again"),
        (1.0, False, 0, "started again in 1 s"),  # ends were not counted
    ],
)
def test_the_text_about_the_next_start(revive_in, failed, attempt, words):
    assert next_start_text(revive_in, failed, attempt, 60.0) == words


def test_ordinals():
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 22, 111, 1002)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "111th", "1002nd",
    ]  # fmt: skip


def test_a_crash_is_reported_with_what_comes_next(caplog):
    caplog.set_level(logging.INFO)
    log_exit(NodeExit("w1", 17, NONE, signal=9, revive_in=2.0, attempt=3, window=60.0, uptime=1.5, crash_report="/r"))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "node 'w1' was killed by SIGKILL; started again in 2 s, 3rd time in 60 s; report in /r"
    )  # fmt: skip
    assert fields_of(record) == {
        "kind": "crash", "node": "w1", "pid": 17, "exit": "SIGKILL", "uptime": 1.5, "attempt": 3, "next_start": 2.0,
        "report": "/r",
    }  # fmt: skip


def test_a_crash_loop_is_reported_when_it_begins(caplog):
    caplog.set_level(logging.INFO)
    end = NodeExit("w1", 17, NONE, code=3, revive_in=60.0, failed=True, newly_failed=True, attempt=6, window=60.0)
    log_exit(end)
    crash, loop = caplog.records
    assert crash.getMessage() == "node 'w1' exited with code 3; tried again in 60 s, 6th time in 60 s"
    assert loop.levelno == logging.ERROR
    assert loop.getMessage() == (
        "node 'w1' is in a crash loop: it ended 6 times in 60 s, and is tried again in 60 s"
    )  # fmt: skip
    assert fields_of(loop)["kind"] == "crash loop"


def test_a_requested_end_is_not_reported(caplog):
    caplog.set_level(logging.INFO)
    log_exit(NodeExit("w1", 17, NONE, code=0, requested=True))
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert "kind" not in fields_of(record)


def ended(at: float, *, failed: bool = False, requested: bool = False, revive_in: float | None = 2.0) -> Exited:
    return Exited("w1", 17, 1, None, 9, False, requested, revive_in, failed, 0, 0, 0, 0, at=at)


def tracked() -> Tracked:
    spec = LaunchSpec("w1", ("true",), {}, "/", "/out", "/err", revival=RevivalSettings(loop_window=60.0))
    return Tracked(NodeConfig("w1"), spec)


def test_ends_are_counted_within_the_window_and_forgotten_by_a_stop():
    node = tracked()
    assert [node.ended(ended(at)).attempt for at in (0.0, 10.0, 20.0, 75.0, 200.0)] == [1, 2, 3, 2, 1]
    assert node.ended(ended(201.0, requested=True)).attempt == 0
    assert node.ended(ended(202.0)).attempt == 1


def test_the_next_start_is_known_until_it_has_come():
    node = tracked()
    node.ended(ended(100.0, failed=True, revive_in=60.0))
    assert node.details().state == "failed"
    assert node.details().next_start == 160.0
    node.started(18, 2)
    assert node.details().next_start is None
    node.ended(ended(200.0, revive_in=None))
    assert node.details().next_start is None
    assert node.not_started(LaunchFailed("w1", "no such program", 5.0, True)).newly_failed
    assert node.details().next_start is not None


async def heard(caplog: pytest.LogCaptureFixture, count: int) -> list[logging.LogRecord]:
    """Let the loop run until it has read all datagrams."""
    deadline = asyncio.get_running_loop().time() + 20
    while len(found := [r for r in caplog.records if "source" in fields_of(r)]) < count:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0)
    return found


async def test_log_lines_of_other_processes_appear_in_the_foreground(tmp_path, caplog, monkeypatch):
    """Below a directory whose path no socket's address could hold."""
    state = tmp_path / ("d" * 120)
    state.mkdir()
    monkeypatch.setattr(logging.getLogger(), "level", logging.INFO)
    other = logging.getLogger("some.module")
    async with journal.received(state, lambda news: news.fields.get("node") != "none"):
        with journal.forwarded(state, "agent", "AGENT"):
            # Our own handler would hear both: what is sent and what has arrived.
            other.warning("node %s is deaf", "w1", extra={"node": "w1"})
            other.info("not told")
            other.warning("not wanted", extra={"node": "none"})
            other.info("deployed", extra={"kind": "deployment", "success": True})
        first, second = await heard(caplog, 2)
    assert (first.levelno, first.getMessage(), first.name) == (logging.WARNING, "agent: node w1 is deaf", "some.module")
    assert fields_of(first) == {"node": "w1", "source": "agent"}
    assert (second.levelno, second.getMessage()) == (logging.INFO, "agent: deployed")
    assert not (state / journal.SOCKET).exists()


async def test_a_missing_foreground_process_is_no_error(tmp_path):
    with journal.forwarded(tmp_path, "agent", "AGENT"):
        logging.getLogger("some.module").warning("told to nobody")
        async with journal.received(tmp_path, lambda _: True):  # it comes later
            pass


async def test_a_former_socket_is_replaced_and_invalid_datagrams_are_ignored(tmp_path, caplog):
    async with journal.received(tmp_path, lambda _: True):
        (tmp_path / journal.SOCKET).rename(tmp_path / "kept")
        (tmp_path / "kept").rename(tmp_path / journal.SOCKET)
    (tmp_path / journal.SOCKET).touch()
    async with journal.received(tmp_path, lambda _: True):
        with journal.forwarded(tmp_path, "agent", "AGENT"):
            for document in (b"", b"{}", b"\xff", json.dumps({"process": 3}).encode()):
                handler = logging.getLogger().handlers[-1]
                with journal.short_path(str(tmp_path / journal.SOCKET)) as address:
                    handler._socket.sendto(document, address)  # type: ignore[attr-defined]
            logging.getLogger("some.module").warning("sense")
            assert [record.getMessage() for record in await heard(caplog, 1)] == ["agent: sense"]
