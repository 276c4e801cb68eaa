"""Which nodes are up, by their status files, with and without inotify."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from zeekfleet.node.zeek import status_files
from zeekfleet.node.zeek.status_files import StatusFiles
from zeekfleet.planning.layout import STATUS_FILE
from zeekfleet.system.inotify import Inotify

PATIENCE = 30.0


@pytest.fixture
async def statuses() -> AsyncIterator[StatusFiles]:
    made = StatusFiles()
    yield made
    made.close()


def say(directory: Path, status: str) -> None:
    (directory / STATUS_FILE).write_text(f"{status} [somewhere]\n")


async def comes_up(statuses: StatusFiles, directory: Path) -> None:
    """The node does, and everybody is told."""
    told = asyncio.Event()
    statuses.on_change = told.set
    waiting = asyncio.create_task(statuses.wait_for("worker"))
    await asyncio.sleep(0)
    assert not waiting.done()
    say(directory, "RUNNING")
    async with asyncio.timeout(PATIENCE):
        await waiting
        await told.wait()
    assert statuses.up == {"worker"}


async def test_a_change_is_noticed_by_inotify(
    statuses: StatusFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_files, "AGAIN", 2 * PATIENCE)
    say(tmp_path, "STARTING")
    statuses.follow({"worker": (1, tmp_path)})
    await comes_up(statuses, tmp_path)


async def test_the_next_process_is_not_up_yet(statuses: StatusFiles, tmp_path: Path) -> None:
    say(tmp_path, "RUNNING")
    statuses.follow({"worker": (1, tmp_path)})
    assert statuses.up == {"worker"}
    say(tmp_path, "STARTING")
    statuses.follow({"worker": (2, tmp_path)})
    assert statuses.up == frozenset()
    await comes_up(statuses, tmp_path)


@pytest.mark.parametrize("call", ["__init__", "watch"])
async def test_without_watches_a_change_is_found_by_reading(
    statuses: StatusFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no more watches")

    monkeypatch.setattr(Inotify, call, refuse)
    monkeypatch.setattr(status_files, "AGAIN", 0.01)
    say(tmp_path, "STARTING")
    statuses.follow({"worker": (1, tmp_path)})
    await comes_up(statuses, tmp_path)


async def test_a_file_that_appears_later_is_watched_then(
    statuses: StatusFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_files, "AGAIN", 0.01)
    statuses.follow({"worker": (1, tmp_path)})
    await comes_up(statuses, tmp_path)
    down = asyncio.Event()
    statuses.on_change = down.set
    say(tmp_path, "TERMINATING")
    async with asyncio.timeout(PATIENCE):
        await down.wait()
    assert statuses.up == frozenset()
