"""Words that stand for several nodes: resolved by the client, from what is deployed. Pure.

``workers``, ``proxies``, ``loggers``, ``managers`` (and ``manager``), ``all``, ``@INSTANCE``, and patterns
as in a shell (``worker-*``, ``@sensor-[12]``). A node's own name comes first: if a node is called
``workers``, the word means only this node.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import msgspec

from zeekfleet.client.results import Failure
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.management import Configuration

T = TypeVar("T")

UNKNOWN = "unknown cluster node"
"""The error for a name that no node has; a controller answers the same."""

EVERYBODY = "all"
AT = "@"
_ROLES = {
    "workers": ClusterRole.WORKER,
    "proxies": ClusterRole.PROXY,
    "loggers": ClusterRole.LOGGER,
    "managers": ClusterRole.MANAGER,
    "manager": ClusterRole.MANAGER,
}
NAMES = (EVERYBODY, *_ROLES)
"""The groups that every cluster has."""

_WILDCARDS = frozenset("*?[")


class Member(msgspec.Struct, frozen=True):
    """The facts about a node by which groups are resolved."""

    name: str
    instance: str
    role: ClusterRole


def members_of(configuration: Configuration) -> tuple[Member, ...]:
    """The nodes of a configuration."""
    return tuple(Member(node.name, node.instance, node.role) for node in configuration.nodes)


def may_be_group(word: str) -> bool:
    """Whether a word may stand for several nodes, so that the deployed nodes must be known to resolve it."""
    return word in NAMES or word.startswith(AT) or not _WILDCARDS.isdisjoint(word)


def resolve(words: Iterable[str], members: Iterable[Member]) -> frozenset[str]:
    """The names that the words stand for.

    A word that stands for no node is returned unchanged. So the controller's error names it, and the result is never
    the empty set, which would mean all nodes.
    """
    known = tuple(members)
    return frozenset(name for word in words for name in _named(word, known) or (word,))


def narrow(
    rows: Mapping[str, tuple[T, ...]],
    errors: Iterable[Failure],
    words: Iterable[str],
    deployed: Iterable[Member],
    member: Callable[[str, T], Member],
) -> tuple[dict[str, tuple[T, ...]], tuple[Failure, ...]]:
    """Reduce an answer about all nodes to the nodes that the user named.

    Args:
        rows: by instance, the rows about its nodes.
        errors: the errors of instances, or of the controller itself.
        words: the names and groups that the user gave.
        deployed: the nodes that should run.
        member: makes a member from an instance's name and a row.

    Returns:
        The rows about these nodes; and the errors of their instances, with an error for each node without a row.
    """
    seen = [member(instance, row) for instance, found in rows.items() for row in found]
    known = (*deployed, *seen)
    wanted = resolve(words, known)
    places = {one.instance for one in known if one.name in wanted}
    kept = {
        instance: tuple(row for row in found if member(instance, row).name in wanted)
        for instance, found in rows.items()
        if instance in places
    }
    concerned = [failure for failure in errors if failure.source is None or failure.source in places]
    told = {one.name for one in seen} | {
        one.name for one in known if one.instance in {failure.source for failure in concerned}
    }
    names = {one.name for one in known}
    silent = (Failure("no answer" if name in names else UNKNOWN, name) for name in sorted(wanted - told))
    return kept, (*concerned, *silent)


def _named(word: str, members: tuple[Member, ...]) -> set[str]:
    if any(member.name == word for member in members):
        return {word}
    return {member.name for member in members if _belongs(member, word)}


def _belongs(member: Member, word: str) -> bool:
    if word == EVERYBODY:
        return member.role is not ClusterRole.NONE
    if word in _ROLES:
        return member.role is _ROLES[word]
    if word.startswith(AT):
        return fnmatch.fnmatchcase(member.instance, word.removeprefix(AT))
    return fnmatch.fnmatchcase(member.name, word)
