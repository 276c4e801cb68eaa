"""The cluster configuration file (protocol section 10), as zeek-client reads and writes it.

What zeek-client accepts means the same here, and what it writes is written byte
for byte, with these exceptions, all on purpose:

* Percent signs. zeek-client fails on a lone ``%``; here it stands for itself.
  ``%%`` is one percent sign and ``%(key)s`` another key's value in both. We
  write every percent sign twice, so that both read it back.
* Instance names keep their case, which zeek-client loses, unless the nodes name
  only the lower-case form.
* Words that zeek-client's quoting would tear (quotes, backslashes, empty words)
  are quoted in full.
* Problems are all reported at once, each with its place.
* ``[DEFAULT]`` gives values to the nodes, not to ``[instances]`` as well.

Keys of ours, ``pcap_file`` and those of ``node_settings.py``, are written back as the variables in ``env`` that they
stand for.

INI cannot hold a node's options and state, the configuration's id, and spaces
and line breaks at a value's ends; use JSON for those.
"""

from __future__ import annotations

import configparser
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from zeekfleet.errors import ConfigurationError
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node
from zeekfleet.model.names import shortened
from zeekfleet.model.types import UNSPECIFIED
from zeekfleet.planning import ini_values, node_settings
from zeekfleet.planning.cluster_variables import PCAP_FILE
from zeekfleet.planning.ini_values import Resolver

T = TypeVar("T")
Section = dict[str, str | None]

INSTANCES = "instances"
DEFAULTS = configparser.DEFAULTSECT
KNOWN_KEYS = frozenset(
    {
        "instance",
        "role",
        "port",
        "scripts",
        "interface",
        "cpu_affinity",
        "env",
        "metrics_port",
        "pcap_file",
        "type",
        "state",
        *node_settings.KEYS,
    }
)


class ParsedConfiguration(msgspec.Struct, frozen=True):
    """A file's configuration, and what its writer should know about it (one sentence each)."""

    configuration: Configuration
    warnings: tuple[str, ...] = ()


class _Raw(configparser.RawConfigParser):
    """Only the file's syntax: no interpolation, no defaults, case kept."""

    def __init__(self) -> None:
        super().__init__(allow_no_value=True, default_section="\0no such section")

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def parse_configuration(
    text: str, *, source: str, hostname: str, resolver: Resolver | None = None
) -> ParsedConfiguration:
    """Read a cluster configuration file.

    Args:
        source: what to call the file in errors and warnings, such as its path.
        hostname: this host's name: nodes without an instance go to ``agent-<hostname>``.
        resolver: how to turn host names into addresses; without one they are refused.

    Raises:
        ConfigurationError: with every problem found: source, section, key, what was expected.
    """
    return _Reader(source, hostname or "localhost", resolver).read(text)


class _Reader:
    """Reads one file, collecting problems and warnings on the way."""

    def __init__(self, source: str, hostname: str, resolver: Resolver | None) -> None:
        self._source = source
        self._default_instance = shortened(f"agent-{hostname}")
        self._resolver = resolver
        self._problems: list[str] = []
        self._warnings: list[str] = []

    def read(self, text: str) -> ParsedConfiguration:
        sections = self._sections(text)
        listed = sections.pop(INSTANCES, None)
        defaults = self._lowered(DEFAULTS, sections.pop(DEFAULTS, {}))
        values = {
            name: self._interpolated(name, defaults | self._lowered(name, section))
            for name, section in sections.items()
        }
        nodes = [node for name, section in values.items() if (node := self._node(name, section))]
        self._check_instance_use(values, listed is not None)
        if listed is None:
            instances = [Instance(name) for name in sorted({node.instance for node in nodes})]
        else:
            named = {node.instance for node in nodes}
            instances = list(self._instances(self._interpolated(INSTANCES, listed), named))
        if self._problems:
            raise ConfigurationError(self._problems)
        return ParsedConfiguration(Configuration(instances=tuple(instances), nodes=tuple(nodes)), tuple(self._warnings))

    def _sections(self, text: str) -> dict[str, Section]:
        parser = _Raw()
        try:
            parser.read_string(text)
        except configparser.Error as error:
            raise ConfigurationError([f"{self._source}: {problem}" for problem in _syntax_problems(error)]) from None
        return {name: dict(parser.items(name)) for name in parser.sections()}

    def _lowered(self, name: str, section: Section) -> Section:
        lowered: Section = {}
        for key, value in section.items():
            if key.lower() in lowered:
                self._problem(name, key.lower(), "is given more than once")
            lowered[key.lower()] = value
        return lowered

    def _interpolated(self, name: str, section: Section) -> Section:
        result: Section = {}
        variables = {key.lower(): value for key, value in section.items()}
        for key, value in section.items():
            try:
                result[key] = None if value is None else ini_values.interpolate(value, variables)
            except ValueError as error:
                result[key] = value
                self._problem(name, key, f"expected {error}")
        return result

    def _instances(self, listed: Section, named: set[str]) -> Iterator[Instance]:
        for key, value in listed.items():
            name = key
            if key not in named and key.lower() in named and key.lower() not in listed:
                name = key.lower()
                self._warning(INSTANCES, key, f"taken for '{name}', as the nodes name it")
            if not value:
                yield Instance(name)
                continue
            try:
                host, port = ini_values.read_endpoint(value, self._resolver)
            except ValueError as error:
                self._problem(INSTANCES, key, f"'{value}' is wrong, expected {error}")
            else:
                yield Instance(name, host, port)

    def _node(self, name: str, section: Section) -> Node | None:
        before = len(self._problems)
        for key, value in section.items():
            if value is None:
                self._problem(name, key, "needs a value, expected KEY = VALUE")
        if len(self._problems) > before:
            return None
        for key in sorted(section.keys() - KNOWN_KEYS):
            self._warning(name, key, "unknown, ignored")
        if "type" in section:
            self._warning(name, "type", "an old name for role" + (", ignored" if "role" in section else ""))
        if section.get("state"):
            self._warning(name, "state", "has no effect, ignored")
        role = self._role(name, section)
        port = self._value(name, section, "port", ini_values.read_port)
        scripts = self._value(name, section, "scripts", ini_values.read_scripts) if section.get("scripts") else None
        cpu_affinity = self._value(name, section, "cpu_affinity", ini_values.read_cpu)
        env = self._value(name, section, "env", ini_values.read_env) if section.get("env") else None
        metrics_port = self._value(name, section, "metrics_port", ini_values.read_port)
        if section.get("pcap_file"):
            env = {**(env or {}), PCAP_FILE: section["pcap_file"] or ""}
            if section.get("interface"):
                self._problem(name, "pcap_file", "is given beside interface, expected one of the two")
        own = dict(self._own_settings(name, section))
        if role is None or len(self._problems) > before:
            return None
        return Node(
            name=name,
            instance=section.get("instance") or self._default_instance,
            role=role,
            state=State.RUNNING,
            p=port,
            scripts=scripts,
            interface=section.get("interface"),
            cpu_affinity=cpu_affinity,
            env={**(env or {}), **own},
            metrics_port=metrics_port,
        )

    def _own_settings(self, name: str, section: Section) -> Iterator[tuple[str, str]]:
        for key, (_, _, read) in node_settings.KEYS.items():
            if text := section.get(key):
                self._value(name, section, key, read)
                yield node_settings.variable(key), text

    def _role(self, name: str, section: Section) -> ClusterRole | None:
        key = "role" if section.get("role") is not None or "type" not in section else "type"
        if not section.get(key):
            self._problem(name, "role", "is missing, expected manager, logger, proxy or worker")
            return None
        return self._value(name, section, key, ini_values.read_role)

    def _value(self, name: str, section: Section, key: str, read: Callable[[str], T]) -> T | None:
        text = section.get(key)
        if text is None:
            return None
        try:
            return read(text)
        except ValueError as error:
            self._problem(name, key, f"'{text}' is wrong, expected {error}")
            return None

    def _check_instance_use(self, nodes: Mapping[str, Section], listed: bool) -> None:
        without = [name for name, section in nodes.items() if "instance" not in section]
        if not without:
            return
        if len(without) != len(nodes):
            self._problem(without[0], "instance", "is missing, expected in all nodes' sections or in none")
        if listed:
            self._problems.append(
                f"{self._source}: section [{INSTANCES}] must be absent when the nodes name no instance"
            )

    def _problem(self, section: str, key: str, text: str) -> None:
        self._problems.append(f"{self._source}: section [{section}], key '{key}': {text}")

    def _warning(self, section: str, key: str, text: str) -> None:
        self._warnings.append(f"{self._source}: section [{section}], key '{key}': {text}")


def _syntax_problems(error: configparser.Error) -> list[str]:
    match error:
        case configparser.DuplicateSectionError():
            return [f"line {error.lineno}: section [{error.section}] is given more than once"]
        case configparser.DuplicateOptionError():
            return [f"line {error.lineno}: section [{error.section}], key '{error.option}': is given more than once"]
        case configparser.MissingSectionHeaderError():
            return [f"line {error.lineno}: expected a section such as [instances] before anything else"]
        case configparser.ParsingError():
            return [f"line {line}: expected [SECTION] or KEY = VALUE, found {text}" for line, text in error.errors]
        case _:
            return [error.message]


def format_configuration(configuration: Configuration) -> str:
    """The configuration as a file: what ``get-config`` prints.

    Raises:
        ConfigurationError: a name cannot stand in such a file (newer Pythons check).
    """
    parser = _Raw()
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
    except configparser.Error as error:
        raise ConfigurationError(f"configuration {configuration.id} cannot be written as INI: {error}") from None
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


def configuration_to_json(configuration: Configuration) -> dict[str, Any]:
    """What ``get-config --as-json`` prints, ready for ``json.dumps(..., indent=2, sort_keys=True)``."""
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
