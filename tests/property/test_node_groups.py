"""The nodes that a word such as ``workers`` stands for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zeekfleet.client.node_groups import NAMES, UNKNOWN, Member, may_be_group, narrow, resolve
from zeekfleet.client.results import Failure
from zeekfleet.model.enums import ClusterRole

ROLES = [ClusterRole.LOGGER, ClusterRole.MANAGER, ClusterRole.PROXY, ClusterRole.WORKER]
names = st.one_of(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,5}", fullmatch=True), st.sampled_from(NAMES))
members = st.lists(
    st.builds(Member, names, names, st.sampled_from(ROLES)), max_size=8, unique_by=lambda member: member.name
)
words = st.lists(st.one_of(names, names.map("@{}".format), st.text(alphabet="w1*?[]-@", max_size=4)), max_size=4)

CLUSTER = (
    Member("manager", "box", ClusterRole.MANAGER),
    Member("logger-1", "box", ClusterRole.LOGGER),
    Member("worker-1", "sensor-1", ClusterRole.WORKER),
    Member("worker-2", "sensor-2", ClusterRole.WORKER),
)


@given(words, members)
def test_each_word_is_resolved_by_itself(said: list[str], cluster: list[Member]) -> None:
    apart = [resolve([word], cluster) for word in said]
    assert resolve(said, cluster) == frozenset().union(*apart)


@given(words, members)
def test_every_word_gives_a_name(said: list[str], cluster: list[Member]) -> None:
    """An empty list would mean all nodes, so a restart of no node would become a restart of all."""
    assert all(resolve([word], cluster) for word in said)
    assert resolve([], cluster) == frozenset()


@given(words, members)
def test_the_result_is_nodes_or_the_word_itself(said: list[str], cluster: list[Member]) -> None:
    assert resolve(said, cluster) <= {member.name for member in cluster} | set(said)


@given(members)
def test_a_nodes_own_name_comes_first(cluster: list[Member]) -> None:
    assert all(resolve([member.name], cluster) == {member.name} for member in cluster)


@given(words, members)
def test_a_word_that_cannot_be_a_group_needs_no_cluster(said: list[str], cluster: list[Member]) -> None:
    plain = [word for word in said if not may_be_group(word)]
    assert resolve(plain, cluster) == frozenset(plain)


def test_groups() -> None:
    meant = {
        "workers": {"worker-1", "worker-2"},
        "loggers": {"logger-1"},
        "manager": {"manager"},
        "managers": {"manager"},
        "proxies": {"proxies"},
        "all": {"manager", "logger-1", "worker-1", "worker-2"},
        "@box": {"manager", "logger-1"},
        "@sensor-[12]": {"worker-1", "worker-2"},
        "@nowhere": {"@nowhere"},
        "*-1": {"logger-1", "worker-1"},
        "worker-?": {"worker-1", "worker-2"},
        "Worker-*": {"Worker-*"},
        "worker-1": {"worker-1"},
    }
    assert {word: set(resolve([word], CLUSTER)) for word in meant} == meant


def test_a_node_with_the_name_of_a_group_hides_the_group() -> None:
    cluster = (*CLUSTER, Member("workers", "box", ClusterRole.PROXY))
    assert resolve(["workers"], cluster) == {"workers"}


def rows_of(cluster: list[Member]) -> dict[str, tuple[Member, ...]]:
    return {place: tuple(one for one in cluster if one.instance == place) for place in {m.instance for m in cluster}}


@given(words, members, st.sets(names, max_size=3))
def test_a_view_is_narrowed_to_the_nodes_that_are_meant(said: list[str], cluster: list[Member], gone: set[str]) -> None:
    """Each node that is meant has a row, or there is an error about it or about its instance."""
    here = [member for member in cluster if member.instance not in gone]
    errors = tuple(Failure("request timed out", place) for place in sorted(gone))
    rows, told = narrow(rows_of(here), errors, said, cluster, lambda _, member: member)
    meant = resolve(said, cluster)
    shown = {member.name for found in rows.values() for member in found}
    assert shown == meant & {member.name for member in here}
    places = {member.instance for member in cluster if member.name in meant}
    assert {failure.source for failure in told if failure in errors} == places & gone
    unknown = {failure.source for failure in told if failure.error == UNKNOWN}
    assert unknown == meant - {member.name for member in cluster}
    assert len(told) == len(places & gone) + len(unknown)
