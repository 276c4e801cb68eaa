"""A store in memory, which ends with its process: for tests and trials."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from zeekfleet.errors import StoreError
from zeekfleet.model.management import Configuration
from zeekfleet.model.notifications import Notification
from zeekfleet.store.interface import (
    HISTORY_LIMIT,
    HISTORY_STATES,
    INSTANCE_LIMIT,
    NOTIFICATION_AGE,
    NOTIFICATION_LIMIT,
    ConfigState,
    HistoryEntry,
    LastHeard,
    check_limit,
)

T = TypeVar("T")


class MemoryStore:
    """A :class:`~zeekfleet.store.interface.Store` that is not durable."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        history_limit: int = HISTORY_LIMIT,
        notification_limit: int = NOTIFICATION_LIMIT,
        instance_limit: int = INSTANCE_LIMIT,
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._closed = False
        self._configurations: dict[ConfigState, Configuration] = {}
        self._sequence = itertools.count(1)
        self._history: deque[HistoryEntry] = deque(maxlen=history_limit)
        self._instance_limit = instance_limit
        self._instances: dict[str, LastHeard] = {}
        self._notifications: deque[Notification] = deque(maxlen=notification_limit)

    def get(self, state: ConfigState) -> Configuration | None:
        with self._lock:
            self._check_open()
            return self._configurations.get(state)

    def put(self, changes: Mapping[ConfigState, Configuration]) -> None:
        with self._lock:
            self._check_open()
            self._configurations |= changes
            now = self._clock()
            self._history.extend(
                HistoryEntry(next(self._sequence), state, now, configuration)
                for state, configuration in changes.items()
                if state in HISTORY_STATES
            )

    def check_room(self, configuration: Configuration) -> None:
        with self._lock:
            self._check_open()

    def history(self, limit: int = HISTORY_LIMIT) -> Sequence[HistoryEntry]:
        with self._lock:
            self._check_open()
            return _last(self._history, limit)[::-1]

    def record(self, notification: Notification) -> None:
        with self._lock:
            self._check_open()
            while self._notifications and self._notifications[0].time < notification.time - NOTIFICATION_AGE:
                self._notifications.popleft()
            self._notifications.append(notification)

    def notifications(self, limit: int = NOTIFICATION_LIMIT) -> Sequence[Notification]:
        with self._lock:
            self._check_open()
            return _last(self._notifications, limit)

    def remember(self, heard: Sequence[LastHeard]) -> None:
        with self._lock:
            self._check_open()
            latest = (self._instances | {one.instance: one for one in heard}).values()
            kept = sorted(latest, key=lambda one: (-one.heard_at, one.instance))[: self._instance_limit]
            self._instances = {one.instance: one for one in kept}

    def remembered(self) -> Sequence[LastHeard]:
        with self._lock:
            self._check_open()
            return [self._instances[name] for name in sorted(self._instances)]

    def close(self) -> None:
        with self._lock:
            self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")


def _last(entries: deque[T], limit: int) -> list[T]:
    return list(entries)[max(0, len(entries) - check_limit(limit)) :]
