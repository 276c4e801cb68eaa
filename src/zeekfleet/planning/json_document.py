"""Writes a cluster configuration as the JSON document that zeek-client prints."""

from __future__ import annotations

from typing import Any

from zeekfleet.model.management import Configuration, Instance, Node
from zeekfleet.model.types import UNSPECIFIED


def configuration_to_json(configuration: Configuration) -> dict[str, Any]:
    """The document of ``get-config --as-json``, for ``json.dumps(..., indent=2, sort_keys=True)``."""
    return {
        "id": configuration.id,
        "instances": [
            _instance_to_json(instance) for instance in sorted(configuration.instances, key=lambda entry: entry.name)
        ],
        "nodes": [_node_to_json(node) for node in sorted(configuration.nodes, key=lambda entry: entry.name)],
    }


def _instance_to_json(instance: Instance) -> dict[str, Any]:
    document: dict[str, Any] = {"name": instance.name}
    if instance.listen_port is not None:
        return document | {"host": str(instance.host), "port": instance.listen_port.number}
    return document if instance.host == UNSPECIFIED else document | {"host": str(instance.host)}


def _node_to_json(node: Node) -> dict[str, Any]:
    options = None if node.options is None else sorted(node.options, key=lambda option: option.name)
    return {
        "name": node.name,
        "instance": node.instance,
        "role": node.role.name,
        "port": node.p and node.p.number,
        "scripts": None if node.scripts is None else list(node.scripts),
        "options": options and [{"name": option.name, "value": option.value} for option in options],
        "interface": node.interface,
        "cpu_affinity": node.cpu_affinity,
        "env": node.env,
        "metrics_port": node.metrics_port and node.metrics_port.number,
    }
