"""A real Zeek that has much to write when it is told to stop gets the time for it."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import pytest
from fleet import Fleet, hub_ports, ini, node

pytestmark = [
    pytest.mark.zeek,
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("zeek") is None, reason="no zeek on PATH"),
]

LINES = int(os.environ.get("ZEEKFLEET_TEST_LATE_LINES", "800000"))
"""Enough to take longer than a grace of one second on any machine."""

TO_END = 1500.0

SCRIPT = """
module Late;

export {{
	redef enum Log::ID += {{ LOG }};
	type Line: record {{ number: count &log; text: string &log; }};
}}

event zeek_init()
	{{
	Log::create_stream(LOG, [$columns=Line, $path="late"]);
	}}

event zeek_done()
	{{
	local number = 0;

	while ( ++number <= {lines} )
		Log::write(LOG, Line($number=number, $text="a line that is written when all is over"));
	}}
"""


def numbers_below(directory: Path) -> list[int]:
    """Those in all late logs, be they archived or not."""
    found: list[int] = []
    for file in directory.rglob("late*"):
        if not file.is_file():
            continue
        with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as lines:
            found += [int(line.split("\t")[0]) for line in lines if not line.startswith("#")]
    return found


@pytest.mark.parametrize("backend", ["zeromq", "broker"])
@pytest.mark.parametrize("writer", ["logger", "manager"])
def test_no_line_is_lost(writer: str, backend: str, tmp_path: Path) -> None:
    script = tmp_path / "writer.zeek"
    script.write_text(SCRIPT.format(lines=LINES))
    roles = ("manager",) if writer == "manager" else ("manager", "logger")
    nodes = {role: node("here", role, **({"scripts": script} if role == writer else {})) for role in roles}
    fleet = Fleet(tmp_path)
    tree = fleet.start_up(engine="zeek", backend=backend, grace=1, grace_ceiling=TO_END, **hub_ports(backend))
    try:
        fleet.deploy(ini(["here"], nodes))
        tree.process.terminate()
        assert tree.process.wait(TO_END) == 0
    finally:
        fleet.stop()
    assert sorted(numbers_below(tmp_path)) == list(range(1, LINES + 1))
