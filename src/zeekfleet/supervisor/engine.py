"""How a node's configuration becomes a process: see :class:`zeekfleet.model.launch.Engine`."""

from __future__ import annotations

from zeekfleet.model.launch import Engine, LaunchContext

__all__ = ["Engine", "LaunchContext"]
