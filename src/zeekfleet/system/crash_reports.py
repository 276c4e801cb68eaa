"""Finds the crash reports of nodes: ``<state>/crashes/<node>/<time>-<pid>/``."""

from __future__ import annotations

import re
from pathlib import Path

DIRECTORY_NAME = "crashes"
_NAME = re.compile(r"(?P<time>\d{8}T\d{6}Z)-(?P<pid>\d+)")
"""The name of a report's directory. Other files in a node's directory are skipped."""


def reports_below(home: Path) -> list[Path]:
    """The reports in one node's directory, sorted by time, then by pid, as their names say."""
    try:
        found = [(match, path) for path in home.iterdir() if (match := _NAME.fullmatch(path.name))]
    except OSError:
        return []
    return [path for _, path in sorted(found, key=lambda one: (one[0]["time"], int(one[0]["pid"]), one[1].name))]
