"""Where a host keeps the crash reports of its nodes: ``<state>/crashes/<node>/<time>-<pid>/``."""

from __future__ import annotations

import re
from pathlib import Path

DIRECTORY_NAME = "crashes"
_NAME = re.compile(r"(?P<time>\d{8}T\d{6}Z)-(?P<pid>\d+)")
"""Of a report's directory; whatever else is in a node's directory is none of ours."""


def reports_below(home: Path) -> list[Path]:
    """The reports in one node's directory, in the order of their names' times, then their processes."""
    try:
        found = [(match, path) for path in home.iterdir() if (match := _NAME.fullmatch(path.name))]
    except OSError:
        return []
    return [path for _, path in sorted(found, key=lambda one: (one[0]["time"], int(one[0]["pid"]), one[1].name))]
