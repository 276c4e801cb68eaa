"""The power fails while the store commits: of its files there is what was synced, and of all else whatever chance had.

A library that is preloaded into the writing process keeps a copy of each file at every sync.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from preloaded import built

from zeekfleet.model.management import Configuration, Instance
from zeekfleet.store.interface import ConfigState
from zeekfleet.store.sqlite import SqliteStore

INSTANCES = 40
SECTOR = 512
"""Bytes that a disk writes all of, or nothing."""

WRITER = f"""
import sys
from pathlib import Path
from zeekfleet.model.management import Configuration, Instance
from zeekfleet.model.notifications import Notification, NotificationKind
from zeekfleet.store.interface import ConfigState
from zeekfleet.store.sqlite import SqliteStore

store = SqliteStore(Path(sys.argv[1]))
number = int(store.get(ConfigState.READY).id) + 1
while True:
    configuration = Configuration(str(number), tuple(Instance(f"{{number}}-{{i}}") for i in range({INSTANCES})))
    store.put({{ConfigState.READY: configuration, ConfigState.DEPLOYED: configuration}})
    print(number, flush=True)
    store.record(Notification(NotificationKind.LOG, 0.0, "a", message="x" * 3000))
    number += 1
"""


def configuration(number: int) -> Configuration:
    return Configuration(str(number), tuple(Instance(f"{number}-{i}") for i in range(INSTANCES)))


class Disk:
    """Where a store writes, and what of that is certain to survive."""

    def __init__(self, root: Path) -> None:
        self.current, self.durable = root / "current", root / "durable"
        self.current.mkdir()
        store = SqliteStore(self.current / "state.db")
        store.put({ConfigState.READY: configuration(0), ConfigState.DEPLOYED: configuration(0)})
        store.close()
        shutil.copytree(self.current, self.durable)
        self._library = built("power", root)

    def write_until(self, acknowledged: int) -> int:
        """Have a process write until it has acknowledged so many numbers; the last that it did when it was killed."""
        environment = {
            "LD_PRELOAD": str(self._library),
            "WATCHED_DIRECTORY": str(self.current),
            "DURABLE_DIRECTORY": str(self.durable),
        }
        command = [sys.executable, "-c", WRITER, str(self.current / "state.db")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as writer:
            assert writer.stdout is not None
            heard = [int(writer.stdout.readline()) for _ in range(acknowledged)]
            writer.kill()
            heard += [int(line) for line in writer.stdout.read().splitlines()]
        return heard[-1]

    def after_power_loss(self, place: Path, chance: random.Random, share: float) -> Path:
        """A copy of what is certain, with a share of the sectors that were written since; the database in it."""
        place.mkdir()
        for path in self.durable.iterdir():
            if path.suffix == ".draft":
                continue
            certain, written = path.read_bytes(), (self.current / path.name).read_bytes()
            # The size of a file may have come to the disk without its content.
            size = len(written) if chance.random() < share else len(certain)
            content = bytearray(certain[:size].ljust(size, b"\0"))
            for offset in range(0, size, SECTOR):
                if chance.random() < share:
                    content[offset : offset + SECTOR] = written[offset : min(offset + SECTOR, size)].ljust(
                        min(SECTOR, size - offset), b"\0"
                    )
            (place / path.name).write_bytes(content)
        return place / "state.db"


def kept(database: Path) -> int:
    """The number that both states hold, whole."""
    store = SqliteStore(database)
    try:
        found = store.get(ConfigState.READY)
        assert found is not None
        assert found == store.get(ConfigState.DEPLOYED) == configuration(int(found.id))
        store.put({ConfigState.STAGED: found})
        return int(found.id)
    finally:
        store.close()


@pytest.mark.parametrize("acknowledged", [1, 7, 60, 300])
def test_what_was_acknowledged_last_is_intact(tmp_path: Path, acknowledged: int) -> None:
    disk = Disk(tmp_path)
    last = disk.write_until(acknowledged)
    chance = random.Random(acknowledged)
    for number in range(40):
        share = (0.0, 1.0, 0.5, chance.random())[number % 4]
        database = disk.after_power_loss(tmp_path / str(number), chance, share)
        assert kept(database) in (last, last + 1), f"with {share:.2f} of what was not synced"
        shutil.rmtree(database.parent)


def test_one_loss_after_the_other(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    chance = random.Random(5)
    for number in range(8):
        last = disk.write_until(chance.randrange(1, 12))
        database = disk.after_power_loss(tmp_path / str(number), chance, chance.random())
        for place in (disk.current, disk.durable):
            shutil.rmtree(place)
            shutil.copytree(database.parent, place)
        assert kept(database) in (last, last + 1)


def test_a_disk_that_lies_loses_what_was_acknowledged(tmp_path: Path) -> None:
    """Which is what makes the tests above some: they see a sync that is left out."""
    disk = Disk(tmp_path)
    first = disk.durable
    disk.durable = tmp_path / "elsewhere"
    disk.durable.mkdir()
    last = disk.write_until(5)
    disk.durable = first
    assert kept(disk.after_power_loss(tmp_path / "after", random.Random(1), 0.0)) < last
