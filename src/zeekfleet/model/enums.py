"""The enums of the protocol (docs/protocol.md, section 4); a member's value is its scoped name."""

from __future__ import annotations

import enum


class ZeekEnum(enum.Enum):
    """An enum whose values are scoped names, such as ``"Management::RUNNING"``."""

    __hash__ = object.__hash__  # members are singletons; the inherited hash is slower, since it runs Python code

    def __str__(self) -> str:
        return self.name

    @classmethod
    def scope(cls) -> str:
        """The scope that all members share, such as ``"Management"``."""
        return str(next(iter(cls)).value).partition("::")[0]


class ClusterRole(ZeekEnum):
    """``Supervisor::ClusterRole``: a node's role in the cluster."""

    NONE = "Supervisor::NONE"
    LOGGER = "Supervisor::LOGGER"
    MANAGER = "Supervisor::MANAGER"
    PROXY = "Supervisor::PROXY"
    WORKER = "Supervisor::WORKER"


class Role(ZeekEnum):
    """``Management::Role``: a process' role in the management framework."""

    NONE = "Management::NONE"
    AGENT = "Management::AGENT"
    CONTROLLER = "Management::CONTROLLER"
    NODE = "Management::NODE"


class State(ZeekEnum):
    """``Management::State``: a node's state (``docs/glossary.md``; moves: ``lifecycle/transitions.py``)."""

    PENDING = "Management::PENDING"
    RUNNING = "Management::RUNNING"
    STOPPED = "Management::STOPPED"
    FAILED = "Management::FAILED"
    CRASHED = "Management::CRASHED"
    UNKNOWN = "Management::UNKNOWN"
