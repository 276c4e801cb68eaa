"""Choosing what kind of node is launched: a real Zeek or a simulated node."""

from __future__ import annotations

from zeekfleet.errors import ConfigurationError
from zeekfleet.node import installation
from zeekfleet.node.sim import SimEngine
from zeekfleet.node.zeek import ZeekEngine, ZeekOptions

NAMES = ("auto", "zeek", "sim")


def select(name: str, options: ZeekOptions | None = None, search_path: str | None = None) -> SimEngine | ZeekEngine:
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
    if name == "sim":
        return SimEngine()
    program = installation.on_path(search_path)
    if program is not None:
        return ZeekEngine(installation.examine(program), options)
    if name == "zeek":
        raise ConfigurationError("engine 'zeek' was asked for, but there is no zeek on PATH")
    return SimEngine()
