"""How different installations of zeekfleet are told apart."""

from __future__ import annotations

import os
from pathlib import Path

from zeekfleet import release


def test_a_release_is_identified_by_its_files_directory_and_interpreter(tmp_path: Path) -> None:
    package = tmp_path / "one" / "zeekfleet"
    (package / "stem").mkdir(parents=True)
    module = package / "stem" / "server.py"
    module.write_text("a = 1\n")
    first = release.read(package, "/usr/bin/python3")
    assert release.read(package, "/usr/bin/python3") == first
    assert release.read(package, "/opt/python3") != first
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "x.pyc").write_bytes(b"compiled")
    assert release.read(package, "/usr/bin/python3") == first
    os.utime(module, ns=(1, 1))
    changed = release.read(package, "/usr/bin/python3")
    assert (changed.build, changed.place) != (first.build, first.place)
    assert changed.place == first.place
    assert str(changed) == f"0.1.0 (build {changed.build}) in {tmp_path / 'one'}, run by /usr/bin/python3"
