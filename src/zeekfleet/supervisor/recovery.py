"""Launches that the stem has lost: it knows the processes of such nodes only, until somebody tells it the rest."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from zeekfleet.errors import StemError
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.stem import protocol
from zeekfleet.supervisor.handle import StemHandle
from zeekfleet.supervisor.records import Tracked

logger = logging.getLogger(__name__)

_TIMEOUT = 60.0
"""Seconds for the stem to answer: it only has to take note."""


def shows(known: LaunchSpec, spec: LaunchSpec) -> bool:
    """Whether a process, of which ``known`` was made up, is what would be launched by ``spec``."""
    return known.argv in ((), spec.argv) and known.paths == spec.paths


def lost(welcome: protocol.Welcome, nodes: Mapping[str, Tracked]) -> tuple[LaunchSpec, ...]:
    """What the stem does not know any more, but we do."""
    return tuple(
        nodes[report.spec.name].spec
        for report in welcome.nodes
        if report.recovered and not nodes[report.spec.name].recovered
    )


async def remind(handle: StemHandle, specs: tuple[LaunchSpec, ...]) -> None:
    """Tell the stem what it has lost; a failure is logged, since the nodes run."""
    try:
        await handle.create(specs, _TIMEOUT)
    except StemError as error:
        logger.warning(
            "what nodes are launched with could not be told to the stem: %s", error, extra={"error": str(error)}
        )


async def complete(
    handle: StemHandle,
    nodes: Mapping[str, Tracked],
    configs: Iterable[NodeConfig],
    prepare: Callable[[NodeConfig], LaunchSpec | str],
) -> None:
    """Tell the stem what nodes are launched with that were found by their processes, where these show just that.

    Args:
        handle: of the stem.
        nodes: all that are known.
        configs: those that are wanted.
        prepare: what one would be launched with, or why it cannot be.

    Raises:
        StemError: it does not answer.
    """
    specs: list[LaunchSpec] = []
    for config in configs:
        tracked = nodes.get(config.name)
        if tracked is None or not tracked.recovered or tracked.config != config:
            continue
        prepared = prepare(config)
        if not isinstance(prepared, str) and shows(tracked.spec, prepared):
            specs.append(prepared)
    outcomes = await handle.create(tuple(specs), _TIMEOUT) if specs else {}
    for spec in specs:
        if not outcomes.get(spec.name) and (tracked := nodes.get(spec.name)) is not None:
            tracked.spec, tracked.recovered = spec, False
