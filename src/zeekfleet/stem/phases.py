"""Where a node is in its life in the stem, and what is to become of it; the picture is in ``node``."""

from __future__ import annotations

import enum


class Phase(enum.Enum):
    """Where a node is."""

    WAITING = enum.auto()
    STARTING = enum.auto()
    RUNNING = enum.auto()
    CLEARING = enum.auto()


class Intent(enum.Enum):
    """What is to become of a node when its process has ended."""

    RUN = enum.auto()
    RESTART = enum.auto()
    DESTROY = enum.auto()
