"""The stem's journal: records of this and of other versions are read back."""

from __future__ import annotations

import selectors
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from zeekfleet.lifecycle.revival import RevivalHistory
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.stem import table
from zeekfleet.stem.launches import LAUNCH_VERSION, LAUNCHES_NAME
from zeekfleet.stem.records import DIRECTORY_NAME, JOURNAL_NAME, RECORD_VERSION, ProcessRecord, Records
from zeekfleet.system import procfs
from zeekfleet.system.timers import Timers


def test_changes_are_not_kept_in_memory(tmp_path: Path) -> None:
    records = Records(tmp_path, print)
    record = ProcessRecord("a", 1, 1)

    def changes(count: int) -> int:
        before = sys.getallocatedblocks()
        for _ in range(count):
            records.save(record)
            records.flush()
        return sys.getallocatedblocks() - before

    changes(10)
    assert changes(500) < 250


def record(name: str, **more: object) -> bytes:
    return msgspec.json.encode({"name": name, "pid": 5, "start_time": 7, **more})


def journal(directory: Path, *lines: bytes, version: int = RECORD_VERSION) -> Path:
    path = directory / DIRECTORY_NAME / JOURNAL_NAME
    path.parent.mkdir(exist_ok=True)
    head = msgspec.json.encode({"version": version, "boot": procfs.boot_id(), "more": 1})
    path.write_bytes(b"\n".join([head, *lines, b""]))
    return path


def test_unknown_fields_are_ignored_and_missing_ones_have_defaults(
    tmp_path: Path,
) -> None:
    journal(tmp_path, record("a", color="blue", past={"ends": [1.5], "mood": "good"}), record("b"))
    logged: list[str] = []
    assert Records(tmp_path, logged.append).processes() == {
        "a": ProcessRecord("a", 5, 7, past=RevivalHistory(ends=(1.5,))),
        "b": ProcessRecord("b", 5, 7),
    }
    spec = {"name": "a", "argv": ["sleep"], "env": {}, "directory": "/d", "stdout_file": "/o", "stderr_file": "/e"}
    line = {"version": LAUNCH_VERSION, "more": [], "spec": {**spec, "color": "blue", "revival": {"mood": "good"}}}
    (tmp_path / DIRECTORY_NAME / LAUNCHES_NAME).write_bytes(msgspec.json.encode(line) + b"\n")
    found = Records(tmp_path, logged.append)
    assert [launch.name for launch in found.load(lambda _: "")] == ["a"]
    assert not logged


def test_a_line_tells_of_no_process_as_former_releases_read_it(tmp_path: Path) -> None:
    records = Records(tmp_path, print)
    records.save(ProcessRecord("a", None, None, former=5))
    records.flush()
    (_, line) = (tmp_path / DIRECTORY_NAME / JOURNAL_NAME).read_bytes().splitlines()
    assert msgspec.json.decode(line) == {"name": "a", "pid": None, "start_time": None, "former": 5}


def test_a_journal_of_a_newer_version_is_set_aside_whole(tmp_path: Path) -> None:
    path = journal(tmp_path, record("a"), version=RECORD_VERSION + 1)
    content = path.read_bytes()
    logged: list[str] = []
    records = Records(tmp_path, logged.append)
    assert records.processes() == {}
    records.save(ProcessRecord("b", 1, 1))
    records.flush()
    assert path.with_name(f"{JOURNAL_NAME}.unreadable").read_bytes() == content
    assert len(logged) == 1


def test_files_of_a_former_release_are_removed_and_newer_ones_set_aside(tmp_path: Path) -> None:
    directory = journal(tmp_path, record("a"), version=2).parent
    for name, version in (("a", 2), ("b", 2), ("c", 9)):
        (directory / f"{name}.json").write_bytes(msgspec.json.encode({"version": version, "spec": {"name": name}}))
    (directory / "d.json").write_bytes(b"torn")
    for expected in (2, 0):
        logged: list[str] = []
        assert Records(tmp_path, logged.append).processes()["a"].pid == 5
        assert len(logged) == expected
    assert sorted(path.name for path in directory.glob("*.json*")) == ["c.json.unreadable"]


def test_a_record_that_cannot_be_taken_over_ends_neither_stem_nor_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[str] = []
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as process:
        spec = LaunchSpec("a", ("sleep", "1000"), {}, str(tmp_path), str(tmp_path / "o"), str(tmp_path / "e"))
        journal(tmp_path, record("a", pid=process.pid, start_time=procfs.start_time(process.pid)))
        Records(tmp_path, logged.append).launches.put_away([spec])

        def recall(*_: object) -> None:
            raise OverflowError("too large")

        monkeypatch.setattr(table.Node, "recall", recall)
        with selectors.DefaultSelector() as selector:
            found = table.Table(tmp_path, selector, Timers(time.monotonic), lambda _: None, logged.append)
            found.adopt()
            (report,) = found.reports()
            assert (report.pid, report.running) == (process.pid, True)
            assert process.poll() is None
        process.kill()
    assert [line for line in logged if "too large" in line]
