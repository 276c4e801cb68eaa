"""Chooses the engine: real Zeeks or simulated nodes."""

from __future__ import annotations

from zeekfleet.errors import ConfigurationError
from zeekfleet.node.engine import Engine
from zeekfleet.node.sim import SimEngine
from zeekfleet.node.zeek import installation
from zeekfleet.node.zeek.engine import ZeekEngine, ZeekOptions

NAMES = ("auto", "zeek", "sim")


def select(name: str, options: ZeekOptions | None = None, search_path: str | None = None) -> Engine:
    """The engine with this name; the result's ``name`` and ``description`` tell which one was chosen.

    Args:
        name: ``zeek``, ``sim``, or ``auto``: Zeek if there is one on PATH, else simulated nodes.
        options: options for real Zeeks.
        search_path: replaces PATH in the search for ``zeek``.

    Raises:
        ConfigurationError: the name is unknown, or Zeek is missing or cannot be used.
    """
    if name not in NAMES:
        raise ConfigurationError(f"engine '{name}' is unknown; there are {', '.join(NAMES)}")
    if name == "sim" or (name == "auto" and installation.on_path(search_path) is None):
        return SimEngine()
    return ZeekEngine(installation.find(search_path), options)


def selected(name: str, options: ZeekOptions) -> Engine:
    """The engine that the supervisor has chosen. Zeek's program is not looked for before ``prepare``.

    Args:
        name: the engine's name, ``zeek`` or ``sim``.
        options: options for real Zeeks.
    """
    return ZeekEngine(options=options) if name == ZeekEngine.name else SimEngine()
