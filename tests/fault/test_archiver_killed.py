"""An archiver that is killed at every step of its work: no log is lost, none is there twice."""

from __future__ import annotations

import gzip
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zeekfleet.archive.compression import Compression
from zeekfleet.archive.writer import CHUNK, Step

PROGRAM = Path(__file__).with_name("archiver_that_dies.py")
FAULT = "ZEEKFLEET_TEST_ARCHIVE_FAULT"
LOGS = {
    "conn__2024-01-02-03-00-00__2024-01-02-04-00-00__log_suffix=logger-1__.log": random.Random(1).randbytes(3 * CHUNK),
    "conn__2024-01-02-03-00-00__2024-01-02-04-00-00__log_suffix=logger-2__.log": b"#fields\nother\n",
    "dns__2024-01-01-23-30-00__2024-01-02-00-30-00__.log": b"#fields\ndns\n",
    # These two get the same name in the archive.
    "x__2024-01-02-03-00-00__2024-01-02-04-00-00__.log": b"#fields\nfirst\n",
    "x__2024-01-02-03-00-00__2024-01-03-04-00-00__.log": b"#fields\nsecond\n",
}
FORMS = [Compression.GZIP, Compression.NONE]


def start(root: Path, form: Compression, fault: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(root / "queue"), str(root / "logs"), form.value],
        env={**os.environ, FAULT: fault},
        stderr=subprocess.PIPE,
    )


def run(root: Path, form: Compression, fault: str = "") -> int:
    process = start(root, form, fault)
    _, told = process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGKILL), told
    return process.returncode


def fill(root: Path) -> None:
    (root / "queue").mkdir()
    for name, content in LOGS.items():
        (root / "queue" / name).write_bytes(content)


def archived(root: Path) -> list[bytes]:
    return sorted(
        gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in (root / "logs").glob("*/*")
        if not path.name.startswith(".")
    )


def nothing_is_lost(root: Path) -> None:
    """Between crashes a log may be in both places, but it must be whole in one of them, and there once."""
    waiting = [path.read_bytes() for path in (root / "queue").glob("[!.]*")]
    found = archived(root)
    assert len(found) == len(set(found))
    assert {*waiting, *found} == set(LOGS.values())


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.value)
@pytest.mark.parametrize("number", [1, pytest.param(2, marks=pytest.mark.long), 4])
@pytest.mark.parametrize("step", list(Step), ids=lambda step: step.name)
def test_death_at_a_step(tmp_path: Path, step: Step, number: int, form: Compression) -> None:
    fill(tmp_path)
    # A log that is moved as it is has fewer steps: it is never copied, and never removed.
    moved = form is Compression.NONE and step in (Step.CHUNK_WRITTEN, Step.WRITTEN, Step.SOURCE_REMOVED)
    assert run(tmp_path, form, f"{step.name}:{number}") == (0 if moved else -signal.SIGKILL)
    nothing_is_lost(tmp_path)
    assert run(tmp_path, form) == 0
    assert archived(tmp_path) == sorted(LOGS.values())
    assert not list((tmp_path / "logs").glob("*/.*"))


def test_death_at_one_step_after_the_other(tmp_path: Path) -> None:
    """The compression is another one after each death."""
    fill(tmp_path)
    for number, step in enumerate([*Step, *Step]):
        run(tmp_path, FORMS[number % 2], f"{step.name}:1")
        nothing_is_lost(tmp_path)
    assert run(tmp_path, Compression.GZIP) == 0
    assert archived(tmp_path) == sorted(LOGS.values())
    assert not list((tmp_path / "logs").glob("*/.*"))


def test_death_at_any_moment(tmp_path: Path) -> None:
    fill(tmp_path)
    chance = random.Random(7)
    for _ in range(10):
        process = start(tmp_path, Compression.GZIP, "")
        try:
            process.wait(chance.uniform(0.1, 0.4))
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        nothing_is_lost(tmp_path)
        for name, content in LOGS.items():  # and each log comes again, as after a power failure
            (tmp_path / "queue" / name).write_bytes(content)
    assert run(tmp_path, Compression.GZIP) == 0
    assert archived(tmp_path) == sorted(LOGS.values())
