"""Chooses the engine: real Zeeks or simulated nodes."""

from __future__ import annotations

from zeekfleet.errors import ConfigurationError
from zeekfleet.model.launch import AUTO, ENGINE_NAMES
from zeekfleet.node.engine import Engine
from zeekfleet.node.simulator.engine import SimulatorEngine
from zeekfleet.node.zeek import installation
from zeekfleet.node.zeek.engine import ZeekEngine, ZeekOptions

FOR_TRAFFIC = ZeekEngine.name
"""The engine of nodes that have traffic to read."""


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
    engine = engine_of(name, options, search_path)
    engine.prepare()
    return engine


def engine_of(name: str, options: ZeekOptions | None = None, search_path: str | None = None) -> Engine:
    """The engine with this name, not prepared yet; an agent makes the engine that its supervisor has chosen.

    Args:
        name: as for :func:`select`.
        options: options for real Zeeks.
        search_path: replaces PATH in the search for ``zeek``.
    """
    if name == AUTO:
        name = SimulatorEngine.name if installation.on_path(search_path) is None else ZeekEngine.name
    match name:
        case SimulatorEngine.name:
            return SimulatorEngine()
        case _:
            return ZeekEngine(options=options, search_path=search_path)


def may_read_traffic(name: str) -> bool:
    """Whether nodes of an engine read traffic on any host; ``auto`` is a real Zeek wherever there is one.

    Args:
        name: as for :func:`select`.
    """
    return name == AUTO or engine_of(name).reads_traffic
