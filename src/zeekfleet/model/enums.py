"""The enums of the protocol (docs/protocol.md, section 4); a member's value is its scoped name."""

from __future__ import annotations

import enum


class ZeekEnum(enum.Enum):
    """An enum whose values are scoped names, such as ``"Management::RUNNING"``."""

    __hash__ = object.__hash__  # members are single objects; the inherited hash runs Python code each time

    def __str__(self) -> str:
        return self.name

    @classmethod
    def scope(cls) -> str:
        """The scope all members share, such as ``"Management"``."""
        return str(next(iter(cls)).value).partition("::")[0]


class ClusterRole(ZeekEnum):
    """``Supervisor::ClusterRole``: the part a node plays in the cluster."""

    NONE = "Supervisor::NONE"
    LOGGER = "Supervisor::LOGGER"
    MANAGER = "Supervisor::MANAGER"
    PROXY = "Supervisor::PROXY"
    WORKER = "Supervisor::WORKER"


class Role(ZeekEnum):
    """``Management::Role``: the part a process plays in the management."""

    NONE = "Management::NONE"
    AGENT = "Management::AGENT"
    CONTROLLER = "Management::CONTROLLER"
    NODE = "Management::NODE"


class State(ZeekEnum):
    """``Management::State``: where a node is in its life."""

    PENDING = "Management::PENDING"
    RUNNING = "Management::RUNNING"
    STOPPED = "Management::STOPPED"
    FAILED = "Management::FAILED"
    CRASHED = "Management::CRASHED"
    UNKNOWN = "Management::UNKNOWN"
