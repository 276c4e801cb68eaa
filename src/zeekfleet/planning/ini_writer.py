"""Writes a cluster configuration as the file that ``ini.py`` reads."""

from __future__ import annotations

import configparser
import io
from collections.abc import Iterator

import msgspec

from zeekfleet.errors import ConfigurationError
from zeekfleet.model.enums import State
from zeekfleet.model.management import Configuration, Instance, Node
from zeekfleet.planning import ini_values
from zeekfleet.planning.ini import INSTANCES, RawFile, parse_configuration


def format_configuration(configuration: Configuration) -> str:
    """The text of the file, which is what ``get-config`` prints.

    Raises:
        ConfigurationError: the file cannot hold some value: it would be read back as something else.
    """
    text = _formatted(configuration)
    try:
        again = parse_configuration(text, source="INI", hostname="").configuration
    except ConfigurationError as error:
        raise _unwritable(configuration, str(error)) from None
    if lost := _differences(configuration, again):
        raise _unwritable(configuration, f"{', '.join(lost)} would be read back as something else")
    return text


def _unwritable(configuration: Configuration, reason: str) -> ConfigurationError:
    return ConfigurationError(f"configuration {configuration.id} can be written as JSON, but not as INI: {reason}")


def _differences(configuration: Configuration, again: Configuration) -> list[str]:
    """The nodes and instances that differ after they have been written and read back."""
    kept = {node.name: _as_written(node) for node in again.nodes}
    instances = set(again.instances)
    lost = [f"instance '{one.name}'" for one in configuration.instances if _as_endpoint(one) not in instances]
    lost += [f"node '{node.name}'" for node in configuration.nodes if kept.get(node.name) != _as_written(node)]
    return sorted(lost)


def _as_written(node: Node) -> Node:
    """The node, reduced to what a file can hold."""
    scripts = tuple(sorted(node.scripts)) if node.scripts else None
    return msgspec.structs.replace(node, scripts=scripts, state=State.RUNNING, options=None)


def _as_endpoint(instance: Instance) -> Instance:
    """The instance, reduced to what a file can hold: no address if its agent connects to the controller."""
    return instance if instance.listen_port is not None else Instance(instance.name)


def _formatted(configuration: Configuration) -> str:
    parser = RawFile()
    if configuration.instances:
        parser.add_section(INSTANCES)
    for instance in sorted(configuration.instances, key=lambda instance: instance.name):
        endpoint = f"{instance.host}:{instance.listen_port.number}" if instance.listen_port else None
        parser.set(INSTANCES, instance.name, endpoint)
    for node in sorted(configuration.nodes, key=lambda node: node.name):
        parser.remove_section(node.name)
        parser.add_section(node.name)
        for key, value in _node_values(node):
            parser.set(node.name, key, ini_values.escape(value))
    text = io.StringIO()
    try:
        parser.write(text)
    except configparser.Error as error:  # newer versions of Python check the names of sections and keys
        raise _unwritable(configuration, str(error)) from None
    return text.getvalue()


def _node_values(node: Node) -> Iterator[tuple[str, str]]:
    yield "instance", node.instance
    yield "role", node.role.name
    if node.p is not None:
        yield "port", str(node.p.number)
    if node.scripts:
        yield "scripts", ini_values.write_scripts(node.scripts)
    if node.interface is not None:
        yield "interface", node.interface
    if node.cpu_affinity is not None:
        yield "cpu_affinity", str(node.cpu_affinity)
    if node.env:
        yield "env", ini_values.write_env(node.env)
    if node.metrics_port is not None:
        yield "metrics_port", str(node.metrics_port.number)
