"""The SQLite store in a process of its own that is killed, or cannot write any more."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zeekfleet.model.management import Configuration
from zeekfleet.store.interface import ConfigState
from zeekfleet.store.sqlite import SqliteStore

# Puts number after number into two states at once, and prints each number once it is acknowledged.
WRITER = """
import os, sys
from pathlib import Path
from zeekfleet.model.management import Configuration, Instance
from zeekfleet.store.interface import ConfigState
from zeekfleet.store.sqlite import SqliteStore
from support.failing import with_fault_from_environment

store = with_fault_from_environment(SqliteStore(Path(sys.argv[1])), os.environ)
latest = store.get(ConfigState.READY)
number = int(latest.id) + 1 if latest else 0
while True:
    configuration = Configuration(id=str(number), instances=tuple(Instance(f"{number}-{i}") for i in range(200)))
    store.put({ConfigState.READY: configuration, ConfigState.DEPLOYED: configuration})
    print(number, flush=True)
    number += 1
"""

IMPORTS = {"PYTHONPATH": str(Path(__file__).parents[1])}
"""Where the writer finds what tests share."""

# Runs into the limit of a file's size (the kernel's word for "no more room"), lifts it, goes on.
FILLER = """
import resource, signal, sys
from pathlib import Path
from zeekfleet.errors import StoreWriteError
from zeekfleet.model.management import Configuration, Instance
from zeekfleet.store.interface import ConfigState
from zeekfleet.store.sqlite import SqliteStore

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = SqliteStore(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))

def put(number):
    configuration = Configuration(id=str(number), instances=tuple(Instance(f"{number}-{i}") for i in range(200)))
    store.put({ConfigState.READY: configuration, ConfigState.DEPLOYED: configuration})

number = 0
try:
    while number < 1000:
        put(number)
        number += 1
except StoreWriteError as error:
    print(error)
assert 0 < number < 1000, number
for again in range(3):
    try:
        put(number)
    except StoreWriteError:
        continue
    raise AssertionError("there was room after all")
assert store.get(ConfigState.READY) == store.get(ConfigState.DEPLOYED)
assert store.get(ConfigState.READY).id == str(number - 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
put(5000)
print("went on")
"""


def content(path: Path) -> int | None:
    """The number both states hold; fails if they differ or if an entry is not whole."""
    store = SqliteStore(path)
    try:
        ready, deployed = store.get(ConfigState.READY), store.get(ConfigState.DEPLOYED)
        assert ready == deployed
        return None if ready is None else whole(ready)
    finally:
        store.close()


def whole(configuration: Configuration) -> int:
    assert [entry.name for entry in configuration.instances] == [f"{configuration.id}-{i}" for i in range(200)]
    return int(configuration.id)


@pytest.mark.parametrize("acknowledged", [0, 1, 3, 10, 30])
def test_killed_while_writing(tmp_path: Path, acknowledged: int) -> None:
    """SIGKILL lands wherever the writer happens to be; several lives one after the other."""
    path = tmp_path / "state.db"
    for _life in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, path], env=IMPORTS, stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            heard = [int(writer.stdout.readline()) for _ in range(acknowledged)]
            writer.kill()
            heard += [int(line) for line in writer.stdout]
        if not path.exists():
            assert acknowledged == 0
            continue
        found = content(path)
        if heard:
            assert found in {heard[-1], heard[-1] + 1}


@pytest.mark.parametrize(
    ("fault", "acknowledged", "kept"),
    [("kill-before:1", 0, None), ("kill-after:1", 0, 0), ("kill-before:4", 3, 2), ("kill-after:4", 3, 3)],
)
def test_killed_beside_a_chosen_write(tmp_path: Path, fault: str, acknowledged: int, kept: int | None) -> None:
    path = tmp_path / "state.db"
    finished = subprocess.run(
        [sys.executable, "-c", WRITER, path],
        env={**IMPORTS, "ZEEKFLEET_TEST_STORE_FAULT": fault},
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == -signal.SIGKILL
    assert finished.stdout.split() == [str(number) for number in range(acknowledged)]
    assert content(path) == kept


def test_no_room_left(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    finished = subprocess.run(
        [sys.executable, "-c", FILLER, path], capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 0, finished.stderr
    told, went_on = finished.stdout.splitlines()
    assert told.startswith(f"database {path} did not take a change: ")
    assert went_on == "went on"
    assert content(path) == 5000
