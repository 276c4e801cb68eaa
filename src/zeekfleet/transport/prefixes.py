"""Sets of topic prefixes.

A set is a tuple of strings: so ``topic.startswith(prefixes)`` is the whole test, and runs in C.
"""

from __future__ import annotations

from collections.abc import Iterable

from zeekfleet.broker.generations import FIRST_TOPIC_ROOT, SECOND_TOPIC_ROOT, canonical_topic


def reduced(prefixes: Iterable[str]) -> tuple[str, ...]:
    """The set, sorted, without prefixes that another prefix covers."""
    kept: list[str] = []
    for prefix in sorted(prefixes):
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return tuple(kept)


def canonical(prefixes: Iterable[str]) -> tuple[str, ...]:
    """The set in the second generation's names."""
    return reduced(map(canonical_topic, prefixes))


def on_the_wire(prefixes: Iterable[str]) -> tuple[str, ...]:
    """The set with the first generation's twin of each prefix (docs/protocol.md, section 9)."""
    return reduced([name for prefix in prefixes for name in _twins(prefix)])


def common(left: Iterable[str], right: Iterable[str]) -> tuple[str, ...]:
    """The set of prefixes for the topics that both sets match."""
    right = tuple(right)
    found = [max(one, other) for one in left for other in right if one.startswith(other) or other.startswith(one)]
    return reduced(found)


def _twins(prefix: str) -> tuple[str, ...]:
    second, first = SECOND_TOPIC_ROOT + "/", FIRST_TOPIC_ROOT + "/"
    prefix = canonical_topic(prefix)
    if prefix.startswith(second):
        return prefix, first + prefix.removeprefix(second)
    return (prefix, first) if second.startswith(prefix) else (prefix,)
