"""What the last stem leaves to the next: each node's launch, record and process, as far as they are there."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from zeekfleet.model.launch import LaunchSpec
from zeekfleet.stem import adoption
from zeekfleet.stem.adoption import Marked
from zeekfleet.stem.records import ProcessRecord, Records


class Inherited(msgspec.Struct, frozen=True):
    """A node of the last stem.

    Attributes:
        spec: what it is launched with.
        record: what the journal says of it.
        process: its process and that one's start time, if it is there.
        launch: the number of that launch, where its mark alone tells of it.
        recovered: the launch could not be read, but was made up from the process.
    """

    spec: LaunchSpec
    record: ProcessRecord | None
    process: tuple[int, int] | None
    launch: int | None = None
    recovered: bool = False


def inherit(records: Records, problem_with: Callable[[LaunchSpec], str], log: Callable[[str], None]) -> list[Inherited]:
    """Find all of it, and kill what carries our mark and is nobody's.

    Args:
        records: of the state directory.
        problem_with: why a launch cannot become a node; empty if it can.
        log: writes a line.
    """
    known = records.processes()
    specs = {spec.name: spec for spec in records.load(problem_with)}
    marked = adoption.marked(records.tree)
    candidates = adoption.candidates(marked, specs.values())
    nodes: list[Inherited] = []
    for name in dict.fromkeys((*specs, *known, *candidates)):
        record, spec = known.get(name), specs.get(name)
        process, launch = adoption.recorded(record), None
        if process is None and (found := adoption.own(candidates.get(name, ()), record, spec)) is not None:
            process, launch = (found.pid, found.start_time), found.launch
        if spec is not None:
            recovered = name in records.launches.recovered
            nodes.append(Inherited(spec, record, process, launch, recovered))
        elif process is not None:
            log(f"node '{name}' is known by its process only, pid {process[0]}")
            spec = adoption.spec_from(name, process[0])
            if spec.argv:
                (spec,) = records.launches.put_away([spec], recovered=True)
            nodes.append(Inherited(spec, record, process, launch, recovered=True))
        elif record is not None:
            log(f"node '{name}' does not run, and what it was launched with cannot be read: it is forgotten")
            records.remove(name)
    _kill_strays(marked, {node.spec.name: node.process[0] for node in nodes if node.process is not None}, log)
    return nodes


def _kill_strays(marked: Iterable[Marked], running: dict[str, int], log: Callable[[str], None]) -> None:
    ours = set(running.values())
    strays = [
        process
        for process in marked
        if process.pid not in ours and process.session not in ours and process.node not in running
    ]
    for process in strays:
        if process.node:
            log(f"process {process.pid} is marked as node '{process.node}' but is not its process: it is killed")
        else:
            log(f"process {process.pid} was started by an earlier stem, for no node: it is killed")
    adoption.kill(strays)
