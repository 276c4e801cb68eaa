"""How many nodes the stem is told of at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from zeekfleet.model.supervisor import NodeConfig

_FIRST, _NEXT = 8, 32


def portions(configs: Sequence[NodeConfig]) -> Iterator[Sequence[NodeConfig]]:
    """A few first, so that the stem can begin; then as many as it starts side by side."""
    first, size = 0, _FIRST
    while first < len(configs):
        yield configs[first : first + size]
        first, size = first + size, _NEXT
