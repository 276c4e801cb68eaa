"""Reads the answers to ``status`` and ``diag``: the nodes' histories, and crash reports. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from zeekfleet.broker.generations import SECOND
from zeekfleet.client.results import Document, Failure
from zeekfleet.errors import RequestFailedError
from zeekfleet.model.management import Result
from zeekfleet.model.supervision import Diagnosis, NodeDetails, NodeReport


class Histories(msgspec.Struct, frozen=True):
    """The nodes of every instance with their histories, and the instances that could not tell."""

    instances: dict[str, tuple[NodeReport, ...]]
    errors: tuple[Failure, ...] = ()


def read_histories(results: Iterable[Result]) -> Histories:
    """The answer to a status request.

    Raises:
        ValueMismatchError: an instance sent something else.
    """
    instances: dict[str, tuple[NodeReport, ...]] = {}
    errors = []
    for result in results:
        if not result.success or result.data is None:
            errors.append(Failure(result.error, result.instance))
        else:
            instances[result.instance or ""] = SECOND.codec.sequence_from_value(result.data, NodeReport)
    return Histories(dict(sorted(instances.items())), tuple(errors))


def read_diagnosis(result: Result) -> Diagnosis:
    """The answer to a diagnosis request.

    Raises:
        RequestFailedError: there is no such node, or its instance is out of reach.
        ValueMismatchError: the instance sent something else.
    """
    if not result.success or result.data is None:
        reason = result.error or "not known to its instance"
        raise RequestFailedError(result.reqid, f"node '{result.node}': {reason}")
    return SECOND.codec.from_value(result.data, Diagnosis)


def last_exit(details: NodeDetails | None) -> str:
    """How the last process ended, in few words; empty if none has."""
    if details is None or details.exited_at is None:
        return ""
    if details.out_of_memory:
        return "out of memory"
    told = details.signal or (f"code {details.code}" if details.code is not None else "unknown")
    return f"{told}{', core dumped' if details.core_dumped else ''}{' (requested)' if details.requested else ''}"


def report_document(report: NodeReport) -> Document:
    """The keys are always the same; null is what the supervisor does not tell."""
    details = report.details
    return {
        "state": report.state.name,
        "missing_peers": list(report.missing),
        "role": report.role.name,
        "since": report.since,
        "pid": details.pid if details else None,
        "restarts": details.restarts if details else None,
        "resources": details.resources if details else None,
        "last_exit": last_exit(details) or None,
        "exited_at": details.exited_at if details else None,
        "crash_report": (details.crash_report or None) if details else None,
        "next_start": details.next_start if details else None,
    }
