"""What a controller's answers say: ``Result`` records in, structs out (docs/protocol.md, sections 8 and 10).

A struct's ``ok`` tells whether all that was asked for is done, its ``document()``
is zeek-client's JSON for it. The reading rules are zeek-client's, since a stock
client and this one must understand every controller in the same way.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from zeekfleet.broker import values
from zeekfleet.broker.generations import SECOND
from zeekfleet.errors import RequestFailedError, ValueMismatchError
from zeekfleet.model.enums import ClusterRole, Role
from zeekfleet.model.management import Configuration, Instance, NodeOutputs, NodeStatus, Result
from zeekfleet.model.types import UNSPECIFIED

NO_REASON = "no reason given"

Document = dict[str, Any]
"""A JSON object."""


class Failure(msgspec.Struct, frozen=True):
    """What went wrong at one instance or node.

    Attributes:
        error: what went wrong; None if the report does not say.
        source: the instance's or node's name, None if the controller itself reported it.
        unattributed: whether the result itself was malformed, so that there is no source to speak of.
    """

    error: str | None
    source: str | None = None
    unattributed: bool = False

    def document(self) -> Document:
        """``{"source", "error"}``, without the source where there is none to speak of."""
        return {"error": self.error} if self.unattributed else {"source": self.source, "error": self.error}


class Staged(msgspec.Struct, frozen=True):
    """The outcome of staging: the configuration's id, or what is wrong with it."""

    id: str | None
    errors: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the configuration is staged."""
        return self.id is not None and not self.errors

    def document(self) -> Document:
        """``{"errors": [TEXT], "results": {"id"}}``."""
        return {"results": _identified(self.id), "errors": list(self.errors)}


class NodeDeployment(msgspec.Struct, frozen=True):
    """What became of one node in a deployment; the outputs are there if it failed and wrote something."""

    name: str
    instance: str
    success: bool
    outputs: NodeOutputs | None = None

    def document(self) -> Document:
        """``{"success", "instance"}``, and ``"stdout"`` and ``"stderr"`` where there are outputs."""
        document: Document = {"success": self.success, "instance": self.instance}
        if self.outputs is not None:
            document |= {"stdout": self.outputs.stdout, "stderr": self.outputs.stderr}
        return document


class Deployed(msgspec.Struct, frozen=True):
    """The outcome of a deployment.

    Attributes:
        id: the deployed configuration's id, if it came that far.
        nodes: one entry a node, in the order of the answer.
        errors: what concerns no single node.
        ok: whether there is something deployed and every result was a success.
        skipped: results that none of zeek-client's rules is for, as text.
    """

    id: str | None
    nodes: tuple[NodeDeployment, ...]
    errors: tuple[str, ...]
    ok: bool
    skipped: tuple[str, ...] = ()

    def document(self) -> Document:
        """``{"errors": [TEXT], "results": {"id", "nodes": {NAME: {"success", "instance", ...}}}}``."""
        results = _identified(self.id)
        if self.nodes:
            results["nodes"] = {node.name: node.document() for node in self.nodes}
        return {"results": results, "errors": list(self.errors)}


class Finding(msgspec.Struct, frozen=True):
    """Something that would go wrong: a sentence, and the nodes that it is about, if any."""

    error: str
    instance: str | None = None
    nodes: tuple[str, ...] = ()

    def document(self) -> Document:
        """``{"error"}``, and ``"instance"`` and ``"nodes"`` where they are known."""
        document: Document = {"error": self.error}
        if self.instance is not None:
            document["instance"] = self.instance
        if self.nodes:
            document["nodes"] = list(self.nodes)
        return document


class Checked(msgspec.Struct, frozen=True):
    """The outcome of a check.

    Attributes:
        findings: what would go wrong.
        instances: names of the instances that checked it and found nothing.
        unchecked: by instance, why it could not check.
    """

    findings: tuple[Finding, ...]
    instances: tuple[str, ...] = ()
    unchecked: dict[str, str] = {}

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def document(self) -> Document:
        """``{"errors": [{"error", ...}], "results": {"checked": [NAME], "unchecked": {NAME: WHY}}}``."""
        return {
            "errors": [finding.document() for finding in self.findings],
            "results": {"checked": list(self.instances), "unchecked": dict(self.unchecked)},
        }


class NodesSeen(msgspec.Struct, frozen=True):
    """The processes of every instance, sorted by name, and the instances that could not tell.

    Attributes:
        malformed: what could not be understood, for a person.
    """

    instances: dict[str, tuple[NodeStatus, ...]]
    errors: tuple[Failure, ...] = ()
    malformed: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every instance told, and what can be understood."""
        return not self.errors and not self.malformed

    def document(self) -> Document:
        """``{"errors": [{"source", "error"}], "results": {INSTANCE: {NODE: {...}}}}``."""
        results = {
            instance: {status.node: _status(status) for status in statuses}
            for instance, statuses in self.instances.items()
        }
        return {"results": results, "errors": [failure.document() for failure in self.errors]}


class IdValues(msgspec.Struct, frozen=True):
    """The value of an identifier in each node that was asked.

    Attributes:
        values: by node name, as Python data made of the value's JSON.
        errors: who could not tell, and why.
        silent: nodes that were asked for by name and that no result speaks of.
    """

    values: dict[str, Any]
    errors: tuple[Failure, ...] = ()
    silent: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every node that was asked told."""
        return not self.errors and not self.silent

    def document(self) -> Document:
        """``{"errors": [{"source", "error"}], "results": {NODE: VALUE}}``."""
        return {"results": dict(self.values), "errors": [failure.document() for failure in self.errors]}


class Restarted(msgspec.Struct, frozen=True):
    """Whether each node was restarted, and what the controller could not even try.

    Attributes:
        nodes: by name, whether the node was restarted.
        errors: what concerns no instance: unknown nodes, those out of reach.
        reasons: by name of a node that was not restarted, why, where its agent said so.
        silent: nodes that were asked for by name and that no result speaks of.
    """

    nodes: dict[str, bool]
    errors: tuple[Failure, ...] = ()
    reasons: dict[str, str] = {}
    silent: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every node was restarted."""
        return not self.errors and not self.silent and all(self.nodes.values())

    def document(self) -> Document:
        """``{"errors": [{"source", "error"}], "results": {NODE: BOOL}}``."""
        return {"results": dict(self.nodes), "errors": [failure.document() for failure in self.errors]}


def read_staged(results: Iterable[Result]) -> Staged:
    """The outcome that ``stage_configuration_response`` tells."""
    identifier: str | None = None
    errors = []
    for result in results:
        if not result.success:
            errors.append(result.error or NO_REASON)
        elif _present(result.data):
            identifier = _text(result.data)
    return Staged(identifier, tuple(errors))


def read_deployed(results: Iterable[Result]) -> Deployed:
    """The outcome that ``deploy_response`` tells.

    Raises:
        ValueMismatchError: the data of a node's result are not outputs.
    """
    identifier: str | None = None
    nodes: dict[str, NodeDeployment] = {}
    errors: list[str] = []
    skipped: list[str] = []
    ok = True
    for result in results:
        ok = ok and result.success
        if not result.success and result.node is None and result.error:
            errors.append(result.error)
        elif result.success and result.node is None and result.instance is None and _present(result.data):
            identifier = _text(result.data)
        elif result.instance is None:
            skipped.append(str(result))
        elif result.node is not None:
            outputs = SECOND.codec.from_value(result.data, NodeOutputs) if _present(result.data) else None
            nodes[result.node] = NodeDeployment(result.node, result.instance, result.success, outputs)
        # An instance without nodes answers with a plain success, which needs no entry.
    # An answer without any node or id does not tell that something is deployed.
    ok = ok and (identifier is not None or bool(nodes))
    return Deployed(identifier, tuple(nodes.values()), tuple(errors), ok, tuple(skipped))


def read_checked(results: Iterable[Result]) -> Checked:
    """The outcome that ``check_response`` tells."""
    findings: list[Finding] = []
    instances: list[str] = []
    unchecked: dict[str, str] = {}
    for result in in_order(results):
        if not result.success:
            names = result.data.data if isinstance(result.data, values.Vector) else ()
            nodes = tuple(name.data for name in names if isinstance(name, values.String))
            findings.append(Finding(result.error or NO_REASON, result.instance, nodes))
        elif result.instance is not None and isinstance(result.data, values.String):
            unchecked[result.instance] = result.data.data
        elif result.instance is not None:
            instances.append(result.instance)
    return Checked(tuple(findings), tuple(instances), unchecked)


def read_nodes(results: Iterable[Result]) -> NodesSeen:
    """The processes that ``get_nodes_response`` tells of."""
    instances: dict[str, tuple[NodeStatus, ...]] = {}
    errors: list[Failure] = []
    malformed: list[str] = []
    for result in in_order(results):
        if not result.success:
            errors.append(Failure(result.error, result.instance))
        elif result.data is None:
            errors.append(Failure("result does not contain node status data", result.instance))
        else:
            name = result.instance or ""
            instances[name] = ()
            try:
                found = SECOND.codec.sequence_from_value(result.data, NodeStatus)
            except ValueMismatchError as error:
                malformed.append(f"node status data of instance '{name}' is invalid: {error}")
            else:
                instances[name] = tuple(sorted(found, key=lambda status: status.node))
    return NodesSeen(instances, tuple(errors), tuple(malformed))


def read_instances(result: Result) -> tuple[Instance, ...]:
    """The instances that ``get_instances_response`` tells of, sorted by name.

    Raises:
        RequestFailedError: the controller could not tell.
        ValueMismatchError: the data is no vector of instances.
    """
    data = _expect_data(result, "instances")
    return tuple(sorted(SECOND.codec.sequence_from_value(data, Instance), key=lambda instance: instance.name))


def read_text(result: Result) -> str:
    """The sentence that a result holds.

    Raises:
        RequestFailedError: the controller could not do what was asked.
    """
    return _text(_expect_data(result, "a sentence"))


def read_configuration(result: Result) -> Configuration:
    """The configuration that ``get_configuration_response`` holds.

    Raises:
        RequestFailedError: there is none.
        ValueMismatchError: the data is no configuration.
    """
    return SECOND.codec.from_value(_expect_data(result, "a configuration"), Configuration)


def instances_document(found: Iterable[Instance]) -> Document:
    """``{NAME: {"host", "port"}}``, each only where it is known."""
    return {instance.name: _instance(instance) for instance in found}


def read_id_values(results: Iterable[Result], asked: Collection[str] = ()) -> IdValues:
    """The values that ``get_id_value_response`` tells of; ``asked`` are the nodes that were named in the request."""
    found: dict[str, Any] = {}
    errors: list[Failure] = []
    for result in in_order(results):
        if not result.success:
            errors.append(Failure(result.error, result.node))
        elif not result.node:
            errors.append(Failure(f"result lacking node: {_wire_text(result.data, 4)}", unattributed=True))
        elif not isinstance(result.data, values.String):
            errors.append(Failure(f"invalid result data type {_wire_text(result.data)}", result.node))
        else:
            try:
                found[result.node] = json.loads(result.data.data)
            except (json.JSONDecodeError, RecursionError) as error:
                errors.append(Failure(f"JSON decode error: {error}", result.node))
    return IdValues(found, tuple(errors), silent(asked, found, errors))


def read_restarted(results: Iterable[Result], asked: Collection[str] = ()) -> Restarted:
    """The outcome that ``restart_response`` tells; ``asked`` are the nodes that were named in the request."""
    nodes: dict[str, bool] = {}
    errors: list[Failure] = []
    reasons: dict[str, str] = {}
    for result in in_order(results):
        if not result.success and result.instance is None:
            errors.append(Failure(result.error, result.node))
        elif result.node:
            nodes[result.node] = result.success
            if not result.success and result.error:
                reasons[result.node] = result.error
        else:
            errors.append(Failure(f"result lacking node: {result}", unattributed=True))
    return Restarted(nodes, tuple(errors), reasons, silent(asked, nodes, errors))


def silent(asked: Collection[str], told: Collection[str], errors: Iterable[Failure]) -> tuple[str, ...]:
    """The nodes that were asked and that neither a result nor an error speaks of, sorted by name."""
    return tuple(sorted(set(asked) - set(told) - {failure.source for failure in errors}))


def in_order(results: Iterable[Result]) -> list[Result]:
    """Sorted by instance (none last), then by node where both have one: zeek-client's order of errors."""
    return sorted(results, key=functools.cmp_to_key(_compare))


def _compare(one: Result, other: Result) -> int:
    if (one.instance is None) != (other.instance is None):
        return 1 if one.instance is None else -1
    if one.instance != other.instance:
        return -1 if str(one.instance) < str(other.instance) else 1
    if one.node is None or other.node is None or one.node == other.node:
        return 0
    return -1 if one.node < other.node else 1


def role_name(role: Role | ClusterRole) -> str | None:
    """A role's bare name, None for NONE."""
    return None if role.name == "NONE" else role.name


def _identified(identifier: str | None) -> Document:
    return {} if identifier is None else {"id": identifier}


def _status(status: NodeStatus) -> Document:
    document: Document = {
        "state": status.state.name,
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


def _expect_data(result: Result, what: str) -> Any:
    if not result.success:
        raise RequestFailedError(result.reqid, result.error or NO_REASON)
    if result.data is None:
        raise RequestFailedError(result.reqid, f"the controller's answer does not contain {what}")
    return result.data


def _present(data: Any) -> bool:
    """Whether there is data; an absent value and an empty container count as none."""
    if isinstance(data, values.Vector | values.Set | values.Table):
        return bool(data.data)
    return data is not None


def _text(data: Any) -> str:
    return data.data if isinstance(data, values.String) else _wire_text(data)


def _wire_text(data: Any, indent: int | None = None) -> str:
    return str(None) if data is None else json.dumps(msgspec.to_builtins(data), indent=indent, sort_keys=True)
