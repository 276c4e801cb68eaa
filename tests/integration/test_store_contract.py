"""One contract for every store."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest

from support.failing import Effect, FailingStore, Moment, StoreFault, with_fault_from_environment
from zeekfleet.errors import StoreError, StoreWriteError
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node, Option
from zeekfleet.model.notifications import Notification, NotificationKind
from zeekfleet.model.supervision import NodeDetails, NodeReport
from zeekfleet.model.types import Address, Port
from zeekfleet.store.interface import NOTIFICATION_AGE, ConfigState, LastHeard, Store
from zeekfleet.store.memory import MemoryStore
from zeekfleet.store.sqlite import SqliteStore

NEVER = StoreFault(Effect.FAIL, Moment.BEFORE, 0)
MakeStore = Callable[[], Store]
LIMITS = {"history_limit": 5, "notification_limit": 5, "instance_limit": 3}


def memory(_directory: Path) -> MemoryStore:
    ticks = itertools.count(1)
    return MemoryStore(clock=lambda: float(next(ticks)), **LIMITS)


def sqlite(directory: Path) -> SqliteStore:
    ticks = itertools.count(1)
    return SqliteStore(
        directory / "state.db",
        clock=lambda: float(next(ticks)),
        history_limit=5,
        notification_limit=5,
        instance_limit=3,
    )


MAKERS: dict[str, Callable[[Path], Store]] = {
    "memory": memory,
    "sqlite": sqlite,
    "failing": lambda directory: FailingStore(sqlite(directory), NEVER),
}


@pytest.fixture(params=MAKERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made = MAKERS[request.param](tmp_path)
    yield made
    made.close()


def full(identity: str) -> Configuration:
    return Configuration(
        id=identity,
        instances=(Instance("a", Address("fd00::1"), Port(2151)), Instance("b")),
        nodes=(
            Node(
                "n",
                "a",
                ClusterRole.LOGGER,
                State.RUNNING,
                p=Port(2200),
                scripts=("x", 'y "ü"\n'),
                options=(Option("A::b", "1"),),
                interface="lo",
                cpu_affinity=0,
                env={"K": "V"},
                metrics_port=Port(9000),
            ),
        ),
    )


def small(identity: str) -> Configuration:
    return Configuration(id=identity)


def log(number: int) -> Notification:
    return Notification(NotificationKind.LOG, float(number), "a", message=f"line {number}")


def test_a_new_store_is_empty(store: Store) -> None:
    assert [store.get(state) for state in ConfigState] == [None, None, None]
    assert list(store.history()) == []
    assert list(store.notifications()) == []


def test_what_is_put_is_got_whole_and_each_state_for_itself(store: Store) -> None:
    store.put({ConfigState.STAGED: full("s"), ConfigState.READY: full("r")})
    assert store.get(ConfigState.STAGED) == full("s")
    ready = store.get(ConfigState.READY)
    assert ready == full("r")
    assert isinstance(ready.instances[0].host, Address)
    assert store.get(ConfigState.DEPLOYED) is None
    store.put({ConfigState.STAGED: small("t")})
    assert store.get(ConfigState.STAGED) == small("t")
    assert store.get(ConfigState.READY) == full("r")


def test_putting_nothing_changes_nothing(store: Store) -> None:
    store.put({})
    assert list(store.history()) == []


def test_history_holds_staged_and_deployed_latest_first(store: Store) -> None:
    store.put({ConfigState.STAGED: small("1"), ConfigState.READY: small("1")})
    store.put({ConfigState.DEPLOYED: full("1")})
    entries = store.history()
    assert [(entry.sequence, entry.state, entry.time, entry.id) for entry in entries] == [
        (2, ConfigState.DEPLOYED, 2.0, "1"),
        (1, ConfigState.STAGED, 1.0, "1"),
    ]
    assert entries[0].configuration == full("1")
    assert [entry.sequence for entry in store.history(1)] == [2]
    assert list(store.history(0)) == []


def test_history_is_bounded_and_never_counts_again(store: Store) -> None:
    for number in range(1, 9):
        store.put({ConfigState.STAGED: small(str(number))})
    assert [(entry.sequence, entry.id) for entry in store.history()] == [(n, str(n)) for n in (8, 7, 6, 5, 4)]


def test_notifications_are_bounded_oldest_first(store: Store) -> None:
    change = Notification(NotificationKind.CHANGE, 0.5, "a", "n", old=State.PENDING, new=State.RUNNING)
    store.record(change)
    assert list(store.notifications()) == [change]
    for number in range(1, 8):
        store.record(log(number))
    assert list(store.notifications()) == [log(n) for n in (3, 4, 5, 6, 7)]
    assert list(store.notifications(2)) == [log(6), log(7)]
    assert list(store.notifications(0)) == []


def test_notifications_that_are_too_old_go(store: Store) -> None:
    store.record(log(1))
    store.record(log(2))
    last = msgspec.structs.replace(log(3), time=2.0 + NOTIFICATION_AGE)
    store.record(last)
    assert list(store.notifications()) == [log(2), last]


def test_negative_limits_are_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="limit -1 is negative"):
        store.history(-1)
    with pytest.raises(ValueError, match="limit -1 is negative"):
        store.notifications(-1)


def test_a_closed_store_refuses_all_but_closing(store: Store) -> None:
    store.close()
    store.close()
    for call in (
        lambda: store.get(ConfigState.STAGED),
        lambda: store.put({ConfigState.STAGED: small("x")}),
        lambda: store.record(log(1)),
        store.history,
        store.notifications,
    ):
        with pytest.raises(StoreError, match="closed"):
            call()


def test_calls_may_come_from_any_thread(store: Store) -> None:
    threads = [
        threading.Thread(target=store.put, args=({ConfigState.STAGED: small(str(number))},)) for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(entry.id for entry in store.history()) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("make", [memory, sqlite])
@pytest.mark.parametrize("moment", Moment)
def test_a_failing_write_is_told_and_the_store_goes_on(
    make: Callable[[Path], Store], moment: Moment, tmp_path: Path
) -> None:
    store = FailingStore(make(tmp_path), StoreFault(Effect.FAIL, moment, 2))
    store.put({ConfigState.STAGED: small("1")})
    with pytest.raises(StoreWriteError, match="write 2"):
        store.put({ConfigState.STAGED: small("2")})
    expected = small("1") if moment is Moment.BEFORE else small("2")
    assert store.get(ConfigState.STAGED) == expected
    store.put({ConfigState.STAGED: small("3")})
    assert store.get(ConfigState.STAGED) == small("3")
    store.close()


def test_a_kill_happens_on_its_side_of_the_write(tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill() -> NoReturn:
        raise KilledError

    inner = MemoryStore()
    store = FailingStore(inner, StoreFault.parse("kill-after:1"), kill=kill)
    with pytest.raises(KilledError):
        store.record(log(1))
    assert list(inner.notifications()) == [log(1)]


def test_the_fault_comes_from_the_given_environment_only() -> None:
    store = MemoryStore()
    assert with_fault_from_environment(store, {}) is store
    assert isinstance(with_fault_from_environment(store, {"ZEEKFLEET_TEST_STORE_FAULT": "fail-before:1"}), FailingStore)
    with pytest.raises(ValueError, match="explode"):
        with_fault_from_environment(store, {"ZEEKFLEET_TEST_STORE_FAULT": "explode-now:1"})


def heard(instance: str, at: float, **fields: object) -> LastHeard:
    return LastHeard(instance, at, **fields)  # type: ignore[arg-type]


def test_what_was_last_heard_of_instances(store: Store) -> None:
    assert list(store.remembered()) == []
    details = NodeDetails("w", "failed", pid=17, restarts=6, next_start=99.5, resources={"nice": "5"})
    report = NodeReport("w", ClusterRole.WORKER, State.FAILED, 12.5, details)
    first = heard("b", 1.0, gone_since=2.0, reported_at=0.5, reports=(report,))
    store.remember([first, heard("a", 1.0)])
    assert list(store.remembered()) == [heard("a", 1.0), first]
    store.remember([heard("b", 3.0)])
    store.remember([])
    assert list(store.remembered()) == [heard("a", 1.0), heard("b", 3.0)]


def test_instances_heard_of_longest_ago_are_forgotten_first(store: Store) -> None:
    store.remember([heard("a", 2.0), heard("b", 1.0), heard("c", 4.0)])
    store.remember([heard("d", 3.0)])
    assert [one.instance for one in store.remembered()] == ["a", "c", "d"]
