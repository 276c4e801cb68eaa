"""Choosing what kind of node is launched: a real Zeek or a simulated node."""

from __future__ import annotations

from zeekfleet.errors import ConfigurationError
from zeekfleet.model.launch import ENGINE_NAMES
from zeekfleet.node.engine import Engine
from zeekfleet.node.sim import SimEngine
from zeekfleet.node.zeek import installation
from zeekfleet.node.zeek.engine import ZeekEngine, ZeekOptions


def select(name: str, options: ZeekOptions | None = None, search_path: str | None = None) -> Engine:
    """The engine that an operator asks for; ``name`` and ``description`` of the result tell which one it is.

    Args:
        name: one of ``ENGINE_NAMES``; ``auto`` is a real Zeek if there is one, else simulated nodes.
        options: for real Zeeks.
        search_path: where to look for ``zeek``, in place of PATH.

    Raises:
        ConfigurationError: the name is unknown, or the Zeek asked for (or found) is missing or unusable.
    """
    if name not in ENGINE_NAMES:
        raise ConfigurationError(f"engine '{name}' is unknown; there are {', '.join(ENGINE_NAMES)}")
    if name == "auto":
        name = SimEngine.name if installation.on_path(search_path) is None else ZeekEngine.name
    engine = engine_of(name, options, search_path)
    engine.prepare()
    return engine


def engine_of(name: str, options: ZeekOptions | None = None, search_path: str | None = None) -> Engine:
    """The engine of this very name, such as its supervisor has selected; it is not prepared yet.

    Args:
        name: the engine's own.
        options: see above.
        search_path: see above.
    """
    match name:
        case SimEngine.name:
            return SimEngine()
        case _:
            return ZeekEngine(options=options, search_path=search_path)
