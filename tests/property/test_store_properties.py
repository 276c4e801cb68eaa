"""The SQLite store behaves like the one in memory, also after reopening and after failed writes, in any order."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from support.failing import Effect, FailingStore, Moment, StoreFault
from zeekfleet.errors import StoreWriteError
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node
from zeekfleet.model.notifications import Notification, NotificationKind
from zeekfleet.model.types import Address
from zeekfleet.store.interface import ConfigState, Store
from zeekfleet.store.memory import MemoryStore
from zeekfleet.store.sqlite import SqliteStore

LIMITS = {"history_limit": 4, "notification_limit": 3}
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
nodes = st.builds(
    Node,
    name=texts,
    instance=texts,
    role=st.sampled_from(ClusterRole),
    state=st.sampled_from(State),
    scripts=st.none() | st.lists(texts, max_size=2).map(tuple),
    cpu_affinity=st.none() | st.integers(-(2**63), 2**63 - 1),
    env=st.dictionaries(texts, texts, max_size=2),
)
instances = st.builds(Instance, texts, st.ip_addresses().map(lambda address: Address(str(address))))
configurations = st.builds(
    Configuration,
    id=texts,
    instances=st.lists(instances, max_size=2).map(tuple),
    nodes=st.lists(nodes, max_size=2).map(tuple),
)
changes = st.dictionaries(st.sampled_from(ConfigState), configurations, max_size=3)
notifications = st.builds(
    Notification,
    kind=st.sampled_from(NotificationKind),
    time=st.floats(0, 1e10),
    instance=texts,
    message=texts,
    new=st.none() | st.sampled_from(State),
)


class SqliteAgainstMemory(RuleBasedStateMachine):
    """Every rule changes both stores in the same way; the invariant compares everything that can be read."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.ticks = {"memory": itertools.count(), "sqlite": itertools.count()}
        self.memory = MemoryStore(clock=lambda: float(next(self.ticks["memory"])), **LIMITS)
        self.sqlite = self.open()

    def open(self) -> SqliteStore:
        path = Path(self.directory.name) / "state.db"
        return SqliteStore(path, clock=lambda: float(next(self.ticks["sqlite"])), **LIMITS)

    @rule(changes=changes.filter(bool))
    def put(self, changes: dict[ConfigState, Configuration]) -> None:
        self.memory.put(changes)
        self.sqlite.put(changes)

    @rule(notification=notifications)
    def record(self, notification: Notification) -> None:
        self.memory.record(notification)
        self.sqlite.record(notification)

    @rule()
    def reopen(self) -> None:
        self.sqlite.close()
        self.sqlite = self.open()

    @rule(changes=changes.filter(bool), moment=st.sampled_from(Moment))
    def put_and_fail(self, changes: dict[ConfigState, Configuration], moment: Moment) -> None:
        fault = StoreFault(Effect.FAIL, moment, 1)
        for store in (self.memory, self.sqlite):
            failing = FailingStore(store, fault)
            with pytest.raises(StoreWriteError):
                failing.put(changes)

    @rule(changes=changes.filter(bool))
    def put_and_be_torn(self, changes: dict[ConfigState, Configuration]) -> None:
        """The last statement of the transaction fails; the earlier ones must have no effect."""
        connection = self.sqlite._connection
        assert connection is not None
        connection.execute(
            "CREATE TEMP TRIGGER tear BEFORE INSERT ON main.history BEGIN SELECT RAISE(ABORT, 'torn'); END"
        )
        connection.execute(
            "CREATE TEMP TRIGGER tear2 AFTER INSERT ON main.configuration WHEN NEW.state = 'READY'"
            " BEGIN SELECT RAISE(ABORT, 'torn'); END"
        )
        with pytest.raises(StoreWriteError, match="torn"):
            self.sqlite.put(changes)
        connection.execute("DROP TRIGGER tear")
        connection.execute("DROP TRIGGER tear2")
        next(self.ticks["memory"])

    @invariant()
    def same(self) -> None:
        assert self.view(self.sqlite) == self.view(self.memory)

    @staticmethod
    def view(store: Store) -> object:
        return [store.get(state) for state in ConfigState], list(store.history()), list(store.notifications())

    def teardown(self) -> None:
        self.sqlite.close()
        self.directory.cleanup()


SqliteAgainstMemory.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestSqliteAgainstMemory = SqliteAgainstMemory.TestCase
