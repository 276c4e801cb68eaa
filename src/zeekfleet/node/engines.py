"""Chooses the engine: real Zeeks or simulated nodes."""

from __future__ import annotations

from zeekfleet.errors import ConfigurationError
from zeekfleet.model.launch import ENGINE_NAMES
from zeekfleet.node.engine import Engine
from zeekfleet.node.sim import SimEngine
from zeekfleet.node.zeek import installation
from zeekfleet.node.zeek.engine import ZeekEngine, ZeekOptions


def select(name: str, options: ZeekOptions | None = None, search_path: str | None = None) -> Engine:
    """The engine that an operator asks for, prepared. Its ``name`` and ``description`` tell which one was chosen.

    Args:
        name: one of ``ENGINE_NAMES``; ``auto`` means real Zeeks if there is a ``zeek``, else simulated nodes.
        options: options for real Zeeks.
        search_path: replaces PATH in the search for ``zeek``.

    Raises:
        ConfigurationError: the name is unknown, or Zeek is missing or cannot be used.
    """
    if name not in ENGINE_NAMES:
        raise ConfigurationError(f"engine '{name}' is unknown; there are {', '.join(ENGINE_NAMES)}")
    if name == "auto":
        name = SimEngine.name if installation.on_path(search_path) is None else ZeekEngine.name
    engine = engine_of(name, options, search_path)
    engine.prepare()
    return engine


def engine_of(name: str, options: ZeekOptions | None = None, search_path: str | None = None) -> Engine:
    """The engine with this name, not prepared yet; an agent makes the engine that its supervisor has chosen.

    Args:
        name: the engine's name, ``zeek`` or ``sim``.
        options: options for real Zeeks.
        search_path: replaces PATH in the search for ``zeek``.
    """
    match name:
        case SimEngine.name:
            return SimEngine()
        case _:
            return ZeekEngine(options=options, search_path=search_path)
