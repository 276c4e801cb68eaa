"""Restores launches that the stem has lost.

A stem that lost its records finds its nodes again by their running processes. These show the command line, directory
and files of a launch, but not all of it. So such a node is marked ``recovered`` until the supervisor sends the whole
launch once more.
"""

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
"""Seconds for the stem to answer: it starts nothing, and only has to store the launches."""


def shows(known: LaunchSpec, spec: LaunchSpec) -> bool:
    """Whether a running process fits a launch, and has the same rights.

    Args:
        known: the launch as it was rebuilt from the process.
        spec: what would be launched now.
    """
    return known.argv in ((), spec.argv) and known.paths == spec.paths and known.user == spec.user


def lost(welcome: protocol.Welcome, nodes: Mapping[str, Tracked]) -> tuple[LaunchSpec, ...]:
    """The launches that the stem has lost and this process still knows."""
    return tuple(
        nodes[report.spec.name].spec
        for report in welcome.nodes
        if report.recovered and not nodes[report.spec.name].recovered
    )


async def remind(handle: StemHandle, specs: tuple[LaunchSpec, ...]) -> None:
    """Send the stem launches that it has lost. A failure is only logged: the nodes run in any case."""
    try:
        await handle.create(specs, _TIMEOUT)
    except StemError as error:
        logger.warning(
            "launches that the stem has lost could not be sent to it: %s", error, extra={"error": str(error)}
        )


async def complete(
    handle: StemHandle,
    nodes: Mapping[str, Tracked],
    configs: Iterable[NodeConfig],
    prepare: Callable[[NodeConfig], LaunchSpec | str],
) -> None:
    """Send the stem the whole launches of recovered nodes, if their processes fit what would be launched now.

    Args:
        handle: the connection to the stem.
        nodes: all known nodes.
        configs: the nodes to complete.
        prepare: gives the launch of a node, or the reason why it cannot be launched.

    Raises:
        StemError: the stem does not answer.
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
