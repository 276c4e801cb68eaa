"""Small libraries that stand before the C library's own functions (``LD_PRELOAD``)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def built(name: str, directory: Path) -> Path:
    """The library of the source ``name.c`` beside this file, made in a directory; skips where there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler, which a preloaded library needs")
    library = directory / f"{name}.so"
    source = Path(__file__).with_name(f"{name}.c")
    command = [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(library), str(source)]
    subprocess.run(command, check=True, timeout=60)
    return library
