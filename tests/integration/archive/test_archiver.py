"""The archiver as a task: what comes into the queue while it runs, and what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from support.waiting import async_until
from zeekfleet.archive import archiver as module
from zeekfleet.archive import clearing
from zeekfleet.archive.archiver import ArchiveOptions, Archiver
from zeekfleet.archive.clearing import Limits
from zeekfleet.archive.expiry import Room
from zeekfleet.archive.names import TEMPORARY_PREFIX
from zeekfleet.archive.writer import ArchiveWriter
from zeekfleet.system.inotify import IN_CLOSE_WRITE, IN_MOVED_TO, Inotify

HOUR = "2024-01-02-03-00-00__2024-01-02-04-00-00"
CONN = f"conn__{HOUR}__.log"
DAY = "2024-01-02"
PATIENCE = 30.0


@contextlib.asynccontextmanager
async def running(options: ArchiveOptions, alarm: Callable[[str], None]) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(Archiver(options, alarm).run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Alarms:
    def __init__(self) -> None:
        self.told: list[str] = []
        self._news = asyncio.Event()

    def __call__(self, problem: str) -> None:
        self.told.append(problem)
        self._news.set()

    async def first(self) -> str:
        async with asyncio.timeout(PATIENCE):
            await self._news.wait()
        return self.told[0]


async def test_what_waits_and_what_comes_is_archived(spool: Any) -> None:
    spool.rotate(CONN, b"before")
    alarms = Alarms()
    async with running(spool.options(), alarms):
        await async_until(lambda: spool.archived() == {f"{DAY}/conn.03:00:00-04:00:00.log.gz": b"before"})
        for number in range(20):
            spool.rotate(f"dns__{HOUR}__log_suffix=logger-{number}__.log", b"%d" % number)
        await async_until(lambda: not spool.waiting())
    assert sorted(spool.archived().values()) == sorted([b"before", *(b"%d" % number for number in range(20))])
    assert alarms.told == []


async def test_a_queue_that_is_taken_away_is_made_anew(spool: Any) -> None:
    async with running(spool.options(), Alarms()):
        spool.rotate(CONN, b"one")
        await async_until(lambda: not spool.waiting())
        spool.queue.rename(spool.root / "away")
        await async_until(spool.queue.is_dir)
        spool.rotate(f"dns__{HOUR}__.log", b"two")
        await async_until(lambda: not spool.waiting())
    assert sorted(spool.archived().values()) == [b"one", b"two"]


async def test_directories_are_made(tmp_path: Path) -> None:
    queue, logs = tmp_path / "a" / "log-queue", tmp_path / "b" / "logs"
    async with running(ArchiveOptions(queue, logs), Alarms()):
        await async_until(lambda: queue.is_dir() and logs.is_dir())


async def test_strange_names_stay_and_are_told_once(spool: Any, caplog: pytest.LogCaptureFixture) -> None:
    (spool.queue / "README").write_text("by hand")
    (spool.queue / "directory").mkdir()
    async with running(spool.options(), Alarms()):
        for number in range(3):
            spool.rotate(f"conn__{HOUR}__log_suffix={number}__.log", b"%d" % number)
            await async_until(lambda: spool.waiting() == {"README", "directory"})
    assert caplog.text.count("'README'") == 1
    assert "directory'" not in caplog.text


async def test_leftovers_of_a_crash_are_removed(spool: Any) -> None:
    (spool.logs / DAY).mkdir(parents=True)
    leftover = spool.logs / DAY / f"{TEMPORARY_PREFIX}0123"
    leftover.write_text("half of a")
    async with running(spool.options(), Alarms()):
        await async_until(lambda: not leftover.exists())


async def test_a_second_archiver_waits_until_the_first_has_gone(spool: Any) -> None:
    options = spool.options(first_delay=0.05)
    alarms = Alarms()
    async with running(options, alarms), running(options, alarms):
        spool.rotate(CONN, b"x")
        await async_until(lambda: not spool.waiting())
    assert list(spool.archived().values()) == [b"x"]
    assert alarms.told == []


def full_disk(monkeypatch: pytest.MonkeyPatch, is_full: Callable[[], bool]) -> list[float]:
    """Writing fails as if there were no room; the times at which it was tried."""
    tries: list[float] = []
    real = ArchiveWriter._write

    def write(self: ArchiveWriter, *arguments: Any) -> None:
        tries.append(time.monotonic())
        if is_full():
            raise OSError(28, "No space left on device")
        real(self, *arguments)

    monkeypatch.setattr(ArchiveWriter, "_write", write)
    return tries


async def test_a_full_disk_is_told_and_tried_again(spool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    full = threading.Event()
    full.set()
    tries = full_disk(monkeypatch, full.is_set)
    alarms = Alarms()
    for number in range(10):
        spool.rotate(f"conn__{HOUR}__log_suffix={number}__.log", b"%d" % number)
    async with running(spool.options(first_delay=0.02, last_delay=0.2), alarms):
        assert "No space left" in await alarms.first()
        await async_until(lambda: len(tries) >= 8)
        assert len(spool.waiting()) == 10
        full.clear()
        await async_until(lambda: not spool.waiting())
    assert len(alarms.told) == 1
    assert sorted(spool.archived().values()) == [b"%d" % number for number in range(10)]


async def test_one_bad_log_holds_up_no_other(spool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ArchiveWriter.put

    def put(self: ArchiveWriter, name: str, log: Any) -> Any:
        if name.startswith("bad"):
            raise ValueError("stumbled")
        return real(self, name, log)

    monkeypatch.setattr(ArchiveWriter, "put", put)
    bad = f"bad__{HOUR}__.log"
    spool.rotate(bad, b"bad")
    spool.rotate(CONN, b"good")
    alarms = Alarms()
    async with running(spool.options(), alarms):
        assert "stumbled" in await alarms.first()
        await async_until(lambda: spool.waiting() == {bad})
    assert list(spool.archived().values()) == [b"good"]


async def test_an_archive_that_cannot_be_made_is_told(spool: Any) -> None:
    spool.logs.write_text("a file")
    alarms = Alarms()
    async with running(spool.options(first_delay=0.02), alarms):
        assert str(spool.logs) in await alarms.first()
        spool.rotate(CONN, b"x")
        spool.logs.unlink()
        await async_until(lambda: not spool.waiting())
    assert len(alarms.told) == 1


async def test_the_event_loop_is_not_held_up_and_an_end_is_quick(spool: Any) -> None:
    block = os.urandom(2**20)
    with (spool.root / "big").open("wb") as file:
        for _ in range(192):
            file.write(block)
    (spool.root / "big").rename(spool.queue / CONN)
    pauses: list[float] = []
    ended = 0.0
    async with running(spool.options(), Alarms()):
        await async_until(lambda: any(spool.logs.glob(f"*/{TEMPORARY_PREFIX}*")))
        for _ in range(100):
            before = time.monotonic()
            await asyncio.sleep(0.005)
            pauses.append(time.monotonic() - before - 0.005)
        assert spool.waiting() == {CONN}, "the log is too small to tell anything"
        ended = time.monotonic()
    assert sorted(pauses)[90] < 0.1, sorted(pauses)[-10:]
    assert time.monotonic() - ended < 5
    assert spool.waiting() == {CONN}
    assert spool.archived() == {}


def fill(spool: Any, ages: dict[int, int]) -> None:
    """Archived logs: how many days old, how many bytes."""
    today = datetime.datetime.now().astimezone().date()
    for age, size in ages.items():
        day = spool.logs / (today - datetime.timedelta(age)).isoformat()
        day.mkdir(parents=True)
        (day / "conn.03:00:00-04:00:00.log.gz").write_bytes(b"x" * size)


def ages(spool: Any) -> list[int]:
    today = datetime.datetime.now().astimezone().date()
    return sorted((today - datetime.date.fromisoformat(path.name)).days for path in spool.logs.glob("2*"))


async def test_old_logs_go(spool: Any) -> None:
    fill(spool, {0: 1, 1: 1, 7: 1, 8: 1, 400: 1})
    kept = spool.logs / (datetime.date.today() - datetime.timedelta(400)).isoformat() / "notes.txt"
    kept.write_text("of somebody else")
    async with running(spool.options(limits=Limits(days=7)), Alarms()):
        await async_until(lambda: ages(spool) == [0, 1, 7, 400])
    assert [path.name for path in kept.parent.iterdir()] == ["notes.txt"]


async def test_a_disk_over_its_limit_loses_the_oldest(spool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(spool, dict.fromkeys(range(5), 64 * 1024))

    def room(logs: Path) -> Room:
        used = 500_000 + sum(log.size for log in clearing.archived_logs(logs))
        return Room(used, 1_000_000 - used)

    monkeypatch.setattr(clearing, "room_of", room)
    alarms = Alarms()
    async with running(spool.options(limits=Limits(disk_percent=65)), alarms):
        await async_until(lambda: ages(spool) == [0, 1])
    assert alarms.told == []
    async with running(spool.options(limits=Limits(disk_percent=10)), alarms):
        assert "only today's logs are left" in await alarms.first()
    assert ages(spool) == [0]


# --- another program instead


def program(spool: Any, text: str) -> str:
    file = spool.root / "program.py"
    file.write_text(text)
    return f"{sys.executable} {file}"


MOVER = """
import pathlib, sys
assert sys.argv[1] == "-1", sys.argv
queue, logs = map(pathlib.Path, sys.argv[2:])
for path in queue.iterdir():
    if not path.name.startswith("."):
        path.rename(logs / path.name)
"""


async def test_another_program_archives_instead(spool: Any) -> None:
    spool.rotate(CONN, b"x")
    alarms = Alarms()
    async with running(spool.options(command=program(spool, MOVER), interval=0.05), alarms):
        await async_until((spool.logs / CONN).exists)
        spool.rotate(f"dns__{HOUR}__.log", b"y")
        await async_until((spool.logs / f"dns__{HOUR}__.log").exists)
    assert alarms.told == []
    assert spool.archived() == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import sys; sys.exit('no more tape')", "failed with status 1: no more tape"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by signal 9"),
        (None, "cannot be run: No such file"),
    ],
)
async def test_its_failure_is_told_once(
    spool: Any, text: str | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.rotate(CONN, b"x")
    command = program(spool, text) if text else str(spool.root / "nowhere")
    runs: list[str] = []
    real = module.command.run

    async def run(*arguments: Any) -> str:
        runs.append(await real(*arguments))
        return runs[-1]

    monkeypatch.setattr(module.command, "run", run)
    alarms = Alarms()
    async with running(spool.options(command=command, interval=0.02), alarms):
        assert told in await alarms.first()
        await async_until(lambda: len(runs) >= 4)
    assert len(alarms.told) == 1
    assert spool.waiting() == {CONN}


async def test_it_ends_with_the_archiver(spool: Any) -> None:
    spool.rotate(CONN, b"x")
    sleeper = (
        "import os, pathlib, signal, time\n"
        f"pathlib.Path({str(spool.root / 'pid.new')!r}).write_text(str(os.getpid()))\n"
        f"os.rename({str(spool.root / 'pid.new')!r}, {str(spool.root / 'pid')!r})\n"
        "time.sleep(1000)\n"
    )
    async with running(spool.options(command=program(spool, sleeper)), Alarms()):
        await async_until((spool.root / "pid").exists)
    pid = int((spool.root / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_its_time_is_limited() -> None:
    said = await module.command.run((sys.executable, "-c", "import time; time.sleep(1000)"), time_limit=0.2)
    assert "did not end within 0.2 s" in said


def test_inotify_tells_of_arrivals_in_a_directory(tmp_path: Path) -> None:
    inotify = Inotify()
    try:
        watch = inotify.watch(tmp_path, IN_MOVED_TO | IN_CLOSE_WRITE)
        (tmp_path / "written").write_text("x")
        (tmp_path / "written").rename(tmp_path / "moved")
        assert [(number, mask) for number, mask in inotify.read()] == [(watch, IN_CLOSE_WRITE), (watch, IN_MOVED_TO)]
    finally:
        inotify.close()


@pytest.mark.parametrize("name", ["./nosuch", "no-such-archiver"])
async def test_a_program_that_is_missing_is_told_before_there_is_a_log(spool: Any, name: str) -> None:
    alarms = Alarms()
    async with running(spool.options(command=name, interval=600.0), alarms):
        told = await alarms.first()
    assert told.startswith(f"logs cannot be archived: archive.command: '{name}' cannot be run: ")
