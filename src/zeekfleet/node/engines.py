"""Choosing what kind of node is launched: a real Zeek or a simulated node."""

from __future__ import annotations

from zeekfleet.errors import ConfigurationError
from zeekfleet.node.engine import Engine
from zeekfleet.node.sim import SimEngine
from zeekfleet.node.zeek import installation
from zeekfleet.node.zeek.engine import ZeekEngine, ZeekOptions

NAMES = ("auto", "zeek", "sim")


def select(name: str, options: ZeekOptions | None = None, search_path: str | None = None) -> Engine:
    """The engine of this name; ``name`` and ``description`` of the result tell which one was taken.

    Args:
        name: ``zeek``, ``sim``, or ``auto``: Zeek if PATH has one, else simulated nodes.
        options: for real Zeeks.
        search_path: where to look for ``zeek``, in place of PATH.

    Raises:
        ConfigurationError: the name is unknown, or the Zeek asked for (or found) is missing or unusable.
    """
    if name not in NAMES:
        raise ConfigurationError(f"engine '{name}' is unknown; there are {', '.join(NAMES)}")
    if name == "sim" or (name == "auto" and installation.on_path(search_path) is None):
        return SimEngine()
    return ZeekEngine(installation.find(search_path), options)


def selected(name: str, options: ZeekOptions) -> Engine:
    """The engine that a supervisor has selected, without a look at its Zeek: that waits until ``prepare``.

    Args:
        name: the engine's own, ``zeek`` or ``sim``.
        options: for real Zeeks.
    """
    return ZeekEngine(options=options) if name == ZeekEngine.name else SimEngine()
