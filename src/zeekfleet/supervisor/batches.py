"""Splits nodes into the batches in which the stem is asked to start them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from zeekfleet.model.supervisor import NodeConfig

_FIRST, _NEXT = 8, 32


def batches(configs: Sequence[NodeConfig]) -> Iterator[Sequence[NodeConfig]]:
    """A small batch first, so that the stem can begin early; then batches as large as it starts in parallel."""
    first, size = 0, _FIRST
    while first < len(configs):
        yield configs[first : first + size]
        first, size = first + size, _NEXT
