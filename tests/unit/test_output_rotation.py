"""Rotation moves the head of a file away while others append to it. It keeps every byte exactly once."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zeekfleet.supervisor import rotation
from zeekfleet.supervisor.rotation import Rotation
from zeekfleet.supervisor.tail import last_lines
from zeekfleet.system import holes

LIMIT = 4 * holes.ALIGNMENT
MEMORY = Path("/dev/shm")


def collapse_by_copying(descriptor: int, end: int) -> None:
    """Replaces FALLOC_FL_COLLAPSE_RANGE where the file system lacks it; correct only while nobody writes."""
    rest = os.pread(descriptor, 1 << 30, end)
    os.pwrite(descriptor, rest, 0)
    os.ftruncate(descriptor, len(rest))


def cannot_collapse(descriptor: int, end: int) -> None:
    raise OSError(95, "Operation not supported")


@pytest.fixture(params=["taken out", "left as a hole"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(holes, "collapse", collapse_by_copying if request.param == "taken out" else cannot_collapse)
    return str(request.param)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a [node]"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    able = holes.can_punch(descriptor)
    os.close(descriptor)
    if not able:
        pytest.skip("this file system cannot free a part of a file")
    return path


def lines(first: int, count: int) -> bytes:
    return b"".join(b"line %09d\n" % number for number in range(first, first + count))


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def kept_in(path: Path) -> bytes:
    """The content of all files, the oldest first; checks that no other file is left."""
    numbers = sorted(int(entry.name.rpartition(".")[2]) for entry in path.parent.glob(f"{path.name[0]}*.*"))
    rotated = b"".join(path.with_name(f"{path.name}.{number}").read_bytes() for number in reversed(numbers))
    with path.open("rb") as file:
        file.seek(holes.first_data(file.fileno()))
        return rotated + file.read()


def rotated(path: Path, kept: int = 100) -> int:
    part = rotation.excess(path, LIMIT)
    assert part is not None
    return Rotation(path, kept).rotate(part)


def test_a_file_within_its_limit_stays(file: Path) -> None:
    append(file, b"x" * LIMIT)
    assert rotation.excess(file, LIMIT) is None
    assert rotation.excess(Path("/dev/null"), LIMIT) is None


def test_every_byte_is_kept_once(file: Path, way: str) -> None:
    content = b""
    for turn in range(5):
        more = lines(turn * 30_000, 30_000)
        append(file, more)
        content += more
        taken = rotated(file)
        assert (taken > 0) is (way == "taken out")
        assert rotation.excess(file, LIMIT) is None
        assert file.stat().st_blocks * 512 <= LIMIT
        assert kept_in(file) == content
    assert last_lines(file, 0, file.stat().st_size, 3).splitlines() == lines(149_997, 3).decode().splitlines()


def test_the_number_of_files_is_limited(file: Path, way: str) -> None:
    for turn in range(5):
        append(file, lines(turn * 30_000, 30_000))
        rotated(file, kept=2)
    assert {entry.name for entry in file.parent.iterdir()} == {file.name, f"{file.name}.1", f"{file.name}.2"}
    assert kept_in(file).endswith(lines(140_000, 10_000))
    append(file, lines(150_000, 30_000))
    rotated(file, kept=0)
    assert file.stat().st_blocks * 512 <= LIMIT


class Killed(BaseException):
    """Stands for the end of the process."""


class Reaper:
    """Lets some calls through and kills at the next one, before or after it was carried out."""

    def __init__(self, at: int, after: bool) -> None:
        self.at = at
        self.after = after
        self.count = 0
        self.has_killed = False

    def wrapped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            is_last = self.count == self.at
            self.has_killed |= is_last
            if is_last and not self.after:
                raise Killed
            result = function(*arguments, **options)
            if is_last:
                raise Killed
            return result

        return call


def moments() -> Iterator[tuple[int, bool]]:
    for at in range(1, 40):
        yield at, False
        yield at, True


def test_killed_at_any_moment(file: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = 0
    first, more, much = lines(0, 18_000), lines(18_000, 100), lines(18_100, 18_000)
    for at, after in moments():
        for entry in file.parent.iterdir():
            entry.unlink()
        earlier = {1: b"first before\n", 2: b"second before\n"}
        for number, text in earlier.items():
            file.with_name(f"{file.name}.{number}").write_bytes(text)
        append(file, first)
        reaper = Reaper(at, after)
        with monkeypatch.context() as patches:
            for owner, name in (
                (os, "sendfile"), (os, "fsync"), (Path, "replace"), (Path, "unlink"),
                (holes, "punch"), (holes, "collapse"),
            ):  # fmt: skip
                patches.setattr(owner, name, reaper.wrapped(getattr(owner, name)))
            try:
                rotated(file, kept=4)
            except Killed:
                killed += 1
        append(file, more)
        Rotation(file, 4).recover()
        assert kept_in(file) == earlier[2] + earlier[1] + first + more, (at, after)
        append(file, much)
        rotated(file, kept=4)
        assert kept_in(file) == earlier[2] + earlier[1] + first + more + much, (at, after)
        if not reaper.has_killed:
            break
    else:
        pytest.fail("there is no end to it")
    assert killed > 10


def test_a_full_disk_costs_nothing(file: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    append(file, lines(0, 30_000))
    with monkeypatch.context() as patches:
        patches.setattr(os, "sendfile", full)
        with pytest.raises(OSError, match="No space left"):
            rotated(file)
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]
    rotated(file)
    assert kept_in(file) == lines(0, 30_000)


def test_recovery_leaves_a_replaced_file_alone(file: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    append(file, lines(0, 30_000))
    part = rotation.excess(file, LIMIT)
    assert part is not None
    reaper = Reaper(1, after=False)
    with monkeypatch.context() as patches:
        patches.setattr(holes, "punch", reaper.wrapped(holes.punch))
        with pytest.raises(Killed):
            Rotation(file, 3).rotate(part)
    file.rename(file.with_name("elsewhere"))
    append(file, lines(0, 30_000))
    Rotation(file, 3).recover()
    assert file.read_bytes() == lines(0, 30_000)
    assert file.with_name(f"{file.name}.1").read_bytes() == lines(0, 30_000)[part.start : part.end]


WRITER = """
import os, select, sys
descriptor = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
number = 0
while number < 100_000 or not select.select([0], [], [], 0)[0]:
    for _ in range(1000):
        os.write(descriptor, b"line %09d\\n" % number)
        number += 1
print(number)
"""
"""Writes until its standard input is closed."""


@pytest.mark.parametrize("place", ["where tests are", "in memory"])
def test_nothing_is_lost_while_a_process_writes(tmp_path: Path, place: str) -> None:
    if place == "in memory" and not MEMORY.is_dir():
        pytest.skip(f"there is no {MEMORY}")
    with tempfile.TemporaryDirectory(dir=MEMORY if place == "in memory" else tmp_path) as directory:
        path = Path(directory) / "stdout"
        path.touch()
        if not Rotation(path, 1).can():
            pytest.skip("this file system cannot free a part of a file")
        rotations = 0
        pipe = subprocess.PIPE
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdin=pipe, stdout=pipe) as writer:
            assert writer.stdin is not None
            assert writer.stdout is not None
            while True:
                is_last = writer.poll() is not None
                if rotation.excess(path, LIMIT) is not None:
                    rotated(path, kept=1000)
                    rotations += 1
                    if rotations == 3:
                        writer.stdin.close()
                elif is_last:
                    break
            written = int(writer.stdout.read())
        assert kept_in(path) == lines(0, written)
