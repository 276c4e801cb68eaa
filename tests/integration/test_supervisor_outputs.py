"""Output files of nodes are kept within bounds, and nobody who reads them misses a line."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.waiting import News, async_until
from zeekfleet.model.launch import RevivalSettings
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.supervisor import CommandEngine, NodeExit, OutputLimits, Supervisor
from zeekfleet.supervisor.rotation import Rotation
from zeekfleet.system import holes

LIMIT = 4 * holes.ALIGNMENT
LINES = 60_000
MEMORY = Path("/dev/shm")

# Writes so many lines, then waits for a signal; and after it so many again, and ends with an error.
PROGRAM = """
import signal, sys
more = []
signal.signal(signal.SIGUSR1, lambda *_: more.append(1))
for turn in range(2):
    for number in range(int(sys.argv[1])):
        print("line %d %07d" % (turn, number))
    sys.stdout.flush()
    while not more:
        signal.pause()
sys.exit(3)
"""


@pytest.fixture(params=["where tests are", "in memory"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    if request.param == "in memory" and not MEMORY.is_dir():
        pytest.skip(f"there is no {MEMORY}")
    with tempfile.TemporaryDirectory(dir=MEMORY if request.param == "in memory" else tmp_path) as directory:
        probe = Path(directory) / "probe"
        probe.touch()
        if not Rotation(probe, 1).can():
            pytest.skip("this file system cannot free a part of a file")
        yield Path(directory) / "state"


class Seen(News):
    """What a Supervisor tells of its nodes, and a way to wait for it."""

    def __init__(self, supervisor: Supervisor) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.exits: list[NodeExit] = []
        supervisor.on_node_exit(lambda exit_: self._note(self.exits, exit_))
        supervisor.stdout_hook(lambda _, line: self._note(self.lines, line))

    def _note(self, where: list, what: object) -> bool:  # type: ignore[type-arg]
        where.append(what)
        self.notify()
        return True


def is_within_bounds(path: Path) -> bool:
    is_under_way = list(path.parent.glob(f"{path.name}.*-*"))
    is_rotated = path.with_name(f"{path.name}.1").exists()
    return is_rotated and not is_under_way and path.stat().st_blocks * 512 <= LIMIT


def written(path: Path) -> list[str]:
    """All lines that the files hold, oldest first."""
    numbers = sorted((int(each.suffix[1:]) for each in path.parent.glob(f"{path.name}.*")), reverse=True)
    content = b"".join(path.with_name(f"{path.name}.{number}").read_bytes() for number in numbers)
    with path.open("rb") as file:
        file.seek(holes.first_data(file.fileno()))
        return (content + file.read()).decode().splitlines()


@pytest.mark.long
async def test_no_line_is_lost(state: Path) -> None:
    engine = CommandEngine([sys.executable, "-c", PROGRAM, str(LINES)], revival=RevivalSettings(enabled=False))
    first, second = ([f"line {turn} {number:07}" for number in range(LINES)] for turn in range(2))
    output = state / "nodes" / "a" / "stdout"
    limits = OutputLimits(LIMIT, 1000)
    # Written while a Supervisor watches that nobody hears lines of; then one takes over that somebody does.
    async with Supervisor(state, engine, outputs=limits, on_exit="keep") as supervisor:
        assert await supervisor.create(NodeConfig(name="a")) == ""
        pid = supervisor.status("a").nodes["a"].pid
        await async_until(lambda: is_within_bounds(output) and written(output)[-1:] == first[-1:])
        assert written(output) == first
    async with Supervisor(state, engine, outputs=limits) as supervisor:
        seen = Seen(supervisor)
        assert supervisor.status("a").nodes["a"].pid == pid
        os.kill(pid or 0, signal.SIGUSR1)
        await seen.until(lambda: seen.exits)
        assert (seen.exits[0].pid, seen.exits[0].code) == (pid, 3)
        assert seen.exits[0].outputs.stdout.splitlines() == second[-100:]
        assert seen.lines == second
        await async_until(lambda: is_within_bounds(output))
    assert written(output) == first + second


async def test_what_is_written_at_once_is_seen_without_another_word(state: Path) -> None:
    output = state / "nodes" / "a" / "stdout"
    engine = CommandEngine(["sh", "-c", "seq 100000 200000; exec sleep 1000"])
    async with Supervisor(state, engine, outputs=OutputLimits(LIMIT, 3)) as supervisor:
        assert await supervisor.create(NodeConfig(name="a")) == ""
        await async_until(lambda: is_within_bounds(output))
        assert written(output) == [str(number) for number in range(100_000, 200_001)]


async def test_a_file_system_that_cannot_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(holes, "can_punch", lambda _: False)
    engine = CommandEngine([sys.executable, "-c", PROGRAM, str(LINES)])
    output = tmp_path / "nodes" / "a" / "stdout"
    async with Supervisor(tmp_path, engine, outputs=OutputLimits(LIMIT, 3)) as supervisor:
        assert await supervisor.create(NodeConfig(name="a")) == ""
        await async_until(lambda: bool(caplog.messages))
        await async_until(lambda: written(output)[-1:] == [f"line 0 {LINES - 1:07}"])
    (message,) = caplog.messages
    assert message.startswith(f"output file {output} cannot be rotated while it is written")
    assert {entry.name for entry in output.parent.iterdir()} >= {"stdout", "stderr"}
    assert not list(output.parent.glob("stdout.*"))
