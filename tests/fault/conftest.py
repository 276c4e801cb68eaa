"""Places and trees for the tests of faults."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemons import processes_mentioning

sys.path.insert(0, str(Path(__file__).parent / "support"))


@pytest.fixture
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk of its own, 24 MiB and 2000 files, that can be filled; it needs leave to mount."""
    place = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=24m,nr_inodes=2000,mode=700", "small-disk", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        left = processes_mentioning(f"{place}/")
        # Lazily: what a failed test has left is still in there.
        subprocess.run(["umount", "--lazy", str(place)], timeout=60, check=True)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    assert not left
