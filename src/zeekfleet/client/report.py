"""zeek-client's JSON documents, one function a verb (docs/protocol.md, section 10); :func:`to_text` writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from zeekfleet.client.results import (
    Checked,
    Deployed,
    Failure,
    IdValues,
    NodeDeployment,
    NodesSeen,
    Restarted,
    Staged,
    role_name,
    state_name,
)
from zeekfleet.model.management import Configuration, Instance, NodeStatus, Result
from zeekfleet.model.types import UNSPECIFIED

Document = dict[str, Any]


def to_text(document: Document, *, pretty: bool = True) -> str:
    """The document as zeek-client prints it, without the final line break."""
    return json.dumps(document, sort_keys=True, indent=2 if pretty else None)


def staged(outcome: Staged) -> Document:
    """``stage-config``: ``{"errors": [TEXT], "results": {"id"}}``."""
    return {"results": _identified(outcome.id), "errors": list(outcome.errors)}


def deployed(outcome: Deployed) -> Document:
    """``deploy``: ``{"errors": [TEXT], "results": {"id", "nodes": {NAME: {"success", "instance", ...}}}}``."""
    results = _identified(outcome.id)
    if outcome.nodes:
        results["nodes"] = {node.name: _deployment(node) for node in outcome.nodes}
    return {"results": results, "errors": list(outcome.errors)}


def given_up(told: str) -> Document:
    """``deploy --abort``: ``{"errors": [], "results": {"given_up": TEXT}}``."""
    return {"errors": [], "results": {"given_up": told}}


def checked(outcome: Checked) -> Document:
    """``check``: ``{"errors": [{"error", ...}], "results": {"checked": [NAME], "unchecked": {NAME: WHY}}}``.

    An error has ``instance`` and ``nodes`` where they are known.
    """
    errors = []
    for finding in outcome.findings:
        entry: Document = {"error": finding.error}
        if finding.instance is not None:
            entry["instance"] = finding.instance
        if finding.nodes:
            entry["nodes"] = list(finding.nodes)
        errors.append(entry)
    return {"errors": errors, "results": {"checked": list(outcome.instances), "unchecked": dict(outcome.unchecked)}}


def nodes(outcome: NodesSeen) -> Document:
    """``get-nodes``: ``{"errors": [{"source", "error"}], "results": {INSTANCE: {NODE: {...}}}}``."""
    results = {
        instance: {status.node: _status(status) for status in statuses}
        for instance, statuses in outcome.instances.items()
    }
    return {"results": results, "errors": _failures(outcome.errors)}


def instances(found: Iterable[Instance]) -> Document:
    """``get-instances``: ``{NAME: {"host", "port"}}``, each only where it is known."""
    return {instance.name: _instance(instance) for instance in found}


def configuration(found: Configuration) -> Document:
    """``get-config --as-json``."""
    from zeekfleet.planning.json_document import configuration_to_json  # noqa: PLC0415 - one verb alone needs it

    return configuration_to_json(found)


def id_values(outcome: IdValues) -> Document:
    """``get-id-value``: ``{"errors": [{"source", "error"}], "results": {NODE: VALUE}}``."""
    return {"results": dict(outcome.values), "errors": _failures(outcome.errors)}


def restarted(outcome: Restarted) -> Document:
    """``restart``: ``{"errors": [{"source", "error"}], "results": {NODE: BOOL}}``."""
    return {"results": dict(outcome.nodes), "errors": _failures(outcome.errors)}


def timed_out(result: Result) -> Document:
    """``test-timeout``: ``{"error", "success"}``."""
    return {"success": result.success, "error": result.error}


def _identified(identifier: str | None) -> Document:
    return {} if identifier is None else {"id": identifier}


def _deployment(node: NodeDeployment) -> Document:
    document: Document = {"success": node.success, "instance": node.instance}
    if node.outputs is not None:
        document |= {"stdout": node.outputs.stdout, "stderr": node.outputs.stderr}
    return document


def _status(status: NodeStatus) -> Document:
    document: Document = {
        "state": state_name(status.state),
        "mgmt_role": role_name(status.mgmt_role),
        "cluster_role": role_name(status.cluster_role),
    }
    if status.pid is not None:
        document["pid"] = status.pid
    if status.p is not None:
        document["port"] = status.p.number
    if status.metrics_port is not None:
        document["metrics_port"] = status.metrics_port.number
    return document


def _instance(instance: Instance) -> Document:
    if instance.listen_port is not None:
        return {"host": str(instance.host), "port": instance.listen_port.number}
    return {} if instance.host == UNSPECIFIED else {"host": str(instance.host)}


def _failures(failures: Iterable[Failure]) -> list[Document]:
    return [
        {"error": failure.error} if failure.unattributed else {"source": failure.source, "error": failure.error}
        for failure in failures
    ]
