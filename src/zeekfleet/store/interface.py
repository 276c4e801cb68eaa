"""What the controller keeps, and how durable it is.

A configuration passes through three states (docs/protocol.md, section 8): STAGED as the
client sent it, READY with addresses and ports filled in, DEPLOYED once every
agent has answered. The store keeps the latest of each, the history of what was
staged and deployed, the agents' latest notifications, and what was last heard of
each instance.

Everything here may block. It may be called from any thread, such as by ``await asyncio.to_thread(store.put, ...)``;
calls take turns.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from zeekfleet.model.management import Configuration
from zeekfleet.model.notifications import Notification
from zeekfleet.model.supervision import NodeReport

HISTORY_LIMIT = 100
"""Entries of history that are kept; the oldest go first."""

NOTIFICATION_LIMIT = 10_000
"""Notifications that are kept; the oldest go first."""

NOTIFICATION_AGE = 30 * 86400.0
"""Seconds after which a notification is removed, counted back from the latest one."""
INSTANCE_LIMIT = 10_000
"""Instances that are remembered; those that were heard of longest ago go first."""


class ConfigState(enum.Enum):
    """How far a configuration has come; see the top of this module."""

    STAGED = "STAGED"
    READY = "READY"
    DEPLOYED = "DEPLOYED"


HISTORY_STATES = frozenset({ConfigState.STAGED, ConfigState.DEPLOYED})
"""The states that enter the history."""


def check_limit(limit: int) -> int:
    """Return the limit if it is one.

    Raises:
        ValueError: it is negative.
    """
    if limit < 0:
        raise ValueError(f"limit {limit} is negative")
    return limit


class HistoryEntry(msgspec.Struct, frozen=True):
    """A configuration that was staged or deployed.

    Attributes:
        sequence: the entry's number; each is one more than the one before, and none is used twice.
        state: STAGED or DEPLOYED; READY configurations do not enter the history.
        time: when, in seconds since 1970.
        configuration: the whole of it, its id included.
    """

    sequence: int
    state: ConfigState
    time: float
    configuration: Configuration

    @property
    def id(self) -> str:
        """The configuration's id."""
        return self.configuration.id


class LastHeard(msgspec.Struct, frozen=True):
    """What was last heard of an instance, for when its host is lost; times are in seconds since 1970.

    Attributes:
        instance: its name.
        heard_at: when anything was heard of it.
        gone_since: when it went; None if it was there.
        reported_at: when its agent sent ``reports``.
        reports: its nodes, as its agent told them.
    """

    instance: str
    heard_at: float
    gone_since: float | None = None
    reported_at: float | None = None
    reports: tuple[NodeReport, ...] = ()


class Store(Protocol):
    """Where the controller keeps what must outlive it.

    Every method raises StoreError when the store cannot be used, and
    ValueError when a limit is negative.
    """

    def get(self, state: ConfigState) -> Configuration | None:
        """The latest configuration in that state, if there ever was one."""
        ...

    def put(self, changes: Mapping[ConfigState, Configuration]) -> None:
        """Set all of these, or none; they are durable when this returns.

        STAGED and DEPLOYED ones enter the history as well.

        Raises:
            StoreFullError: there is no room; nothing was changed.
            StoreWriteError: nothing was changed; the store stays usable.
        """
        ...

    def check_room(self, configuration: Configuration) -> None:
        """See that a :meth:`put` of this configuration would find room, without changing anything.

        Raises:
            StoreFullError: it would not.
            StoreWriteError: it would fail for another reason.
        """
        ...

    def history(self, limit: int = HISTORY_LIMIT) -> Sequence[HistoryEntry]:
        """What was staged and deployed, the latest first."""
        ...

    def record(self, notification: Notification) -> None:
        """Keep a notification. A power failure may lose the latest ones, but never leaves half of one.

        Notifications that are older than it by more than :data:`NOTIFICATION_AGE` are removed.

        Raises:
            StoreWriteError: it was not kept; the store stays usable.
        """
        ...

    def notifications(self, limit: int = NOTIFICATION_LIMIT) -> Sequence[Notification]:
        """The latest notifications, the oldest of them first."""
        ...

    def remember(self, heard: Sequence[LastHeard]) -> None:
        """Keep what was last heard of these instances. A power failure may lose it, as with notifications.

        Raises:
            StoreWriteError: nothing was changed; the store stays usable.
        """
        ...

    def remembered(self) -> Sequence[LastHeard]:
        """What was last heard of each instance, sorted by name."""
        ...

    def close(self) -> None:
        """Close it; a second call does nothing. All other calls raise StoreError from then on."""
        ...
