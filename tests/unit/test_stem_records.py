"""The stem's journal: what is in it comes back, of this version and of others."""

from __future__ import annotations

import sys
from pathlib import Path

from zeekfleet.stem.records import ProcessRecord, Records


def test_a_change_leaves_nothing_in_memory(tmp_path: Path) -> None:
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
