"""Logs of one trace by several Zeeks, made comparable."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

ABOUT_ZEEKS = frozenset({"broker", "cluster", "loaded_scripts", "packet_filter", "reporter", "stats", "telemetry"})
"""Logs that are about the Zeeks, not about the trace."""

OWN_TO_A_RUN = frozenset({"ts", "uid", "fuid", "uids", "conn_uids", "fuids", "tunnel_parents", "peer", "peer_descr"})
"""Fields that are another with each run, that tell when a line was written, or by which node."""

Lines = Counter[tuple[str, ...]]


def lines_of(log: Path) -> Lines:
    """The rows of a log, without what is own to a run; a set's members in order, for Zeek has them in any."""
    fields: list[str] = []
    types: list[str] = []
    rows: Lines = Counter()
    for line in log.read_text(errors="surrogateescape").splitlines():
        mark, *values = line.split("\t")
        if mark == "#fields":
            fields = values
        elif mark == "#types":
            types = values
        elif not line.startswith("#"):
            row = zip(fields, types, line.split("\t"), strict=True)
            rows[
                tuple(
                    ",".join(sorted(value.split(","))) if kind.startswith("set[") else value
                    for name, kind, value in row
                    if name not in OWN_TO_A_RUN
                )
            ] += 1
    return rows


def logs_in(directory: Path) -> dict[str, Lines]:
    """By name, all logs that are about the trace."""
    return {log.stem: lines_of(log) for log in directory.glob("*.log") if log.stem not in ABOUT_ZEEKS}


def differences(expected: dict[str, Lines], found: dict[str, Lines]) -> list[str]:
    """What is missing, and what is too much: a line each, which begins with the log's name."""
    told: list[str] = []
    for name in sorted(expected.keys() | found.keys()):
        told += [f"{name}: no log"] if name not in found else []
        before, after = expected.get(name, Counter()), found.get(name, Counter())
        told += [f"{name} lacks {' '.join(row)}" for row in (before - after).elements()]
        told += [f"{name} has {' '.join(row)}" for row in (after - before).elements()]
    return told
