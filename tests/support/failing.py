"""A store that fails, or takes its process with it, at a chosen write."""

from __future__ import annotations

import enum
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

import msgspec

from zeekfleet.errors import StoreWriteError
from zeekfleet.model.management import Configuration
from zeekfleet.model.notifications import Notification
from zeekfleet.store.interface import HISTORY_LIMIT, NOTIFICATION_LIMIT, ConfigState, HistoryEntry, LastHeard, Store

FAULT_VARIABLE = "ZEEKFLEET_TEST_STORE_FAULT"
"""Holds what :meth:`StoreFault.parse` reads; looked at by the tests' own composition only."""


class Effect(enum.Enum):
    """What happens to the write, or to the process."""

    FAIL = "fail"
    KILL = "kill"


class Moment(enum.Enum):
    """On which side of the real write it happens."""

    BEFORE = "before"
    AFTER = "after"


class StoreFault(msgspec.Struct, frozen=True):
    """The fault: FAIL raises StoreWriteError, KILL is SIGKILL to this process; the first write is number 1."""

    effect: Effect
    moment: Moment
    write: int

    @classmethod
    def parse(cls, text: str) -> StoreFault:
        """Read ``fail-before:1`` or ``kill-after:3``.

        Raises:
            ValueError: the text is no fault.
        """
        what, _, number = text.partition(":")
        effect, _, moment = what.partition("-")
        return cls(Effect(effect), Moment(moment), int(number))


def kill_this_process() -> NoReturn:
    """SIGKILL to ourselves; nothing of ours runs after it."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL was survived")


class FailingStore:
    """Passes everything to another store, but has the fault happen at its write.

    Writes are :meth:`put` and :meth:`record`, counted together. Later writes go through again, as
    :meth:`remember` always does.
    """

    def __init__(self, store: Store, fault: StoreFault, *, kill: Callable[[], NoReturn] = kill_this_process) -> None:
        self._store = store
        self._fault = fault
        self._kill = kill
        self.writes = 0

    def get(self, state: ConfigState) -> Configuration | None:
        return self._store.get(state)

    def put(self, changes: Mapping[ConfigState, Configuration]) -> None:
        self._write(lambda: self._store.put(changes))

    def check_room(self, configuration: Configuration) -> None:
        self._store.check_room(configuration)

    def history(self, limit: int = HISTORY_LIMIT) -> Sequence[HistoryEntry]:
        return self._store.history(limit)

    def record(self, notification: Notification) -> None:
        self._write(lambda: self._store.record(notification))

    def notifications(self, limit: int = NOTIFICATION_LIMIT) -> Sequence[Notification]:
        return self._store.notifications(limit)

    def remember(self, heard: Sequence[LastHeard]) -> None:
        self._store.remember(heard)

    def remembered(self) -> Sequence[LastHeard]:
        return self._store.remembered()

    def close(self) -> None:
        self._store.close()

    def _write(self, write: Callable[[], None]) -> None:
        self.writes += 1
        if self.writes != self._fault.write:
            write()
            return
        if self._fault.moment is Moment.AFTER:
            write()
        if self._fault.effect is Effect.KILL:
            self._kill()
        raise StoreWriteError(f"write {self.writes} failed, as the test wants it")


def with_fault_from_environment(store: Store, environment: Mapping[str, str]) -> Store:
    """The store itself, or wrapped if the environment asks for a fault.

    Raises:
        ValueError: the variable holds no fault.
    """
    text = environment.get(FAULT_VARIABLE)
    return FailingStore(store, StoreFault.parse(text)) if text else store
