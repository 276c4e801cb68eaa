"""The cluster configuration file (docs/protocol.md, section 10), as zeek-client reads and writes it.

We read a file as zeek-client does, and write it byte for byte as zeek-client
does, with these deliberate exceptions:

* Probable mistakes are refused: unknown keys (or only warned of), indented lines that would continue the value above,
  keys that contradict each other, a variable given twice, an IPv6 address with a port and without brackets, an IPv4
  address with leading zeros, 0.0.0.0.
* A relative path of a trace is relative to the file's directory; so is a script's, if there is such a file
  (:func:`ini_values.resolve_script`).
* Percent signs. zeek-client fails on a lone ``%``; here it stands for itself.
  ``%%`` is one percent sign and ``%(key)s`` another key's value in both. We
  write every percent sign twice, so that both read it back.
* Instance names keep their case, which zeek-client loses; but if the nodes name
  only the lower-case form, that is used.
* Words that zeek-client's quoting would break (quotes, backslashes, empty words)
  are quoted in full.
* All problems are reported at once, each with its place.
* ``[DEFAULT]`` gives values to the nodes, but not to ``[instances]``.

Our own keys, ``pcap_file`` and those of ``node_settings.py``, are written as the variables in ``env`` that they
stand for.

An INI file cannot hold a node's options and state and the configuration's id; writing omits them. A configuration with
anything else that the file cannot hold, such as spaces at a value's ends, is refused; JSON can hold it.
"""

from __future__ import annotations

import configparser
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from zeekfleet.errors import ConfigurationError
from zeekfleet.model.defaults import LOCALHOST
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Instance, Node
from zeekfleet.model.names import RESERVED_SECTIONS, shortened
from zeekfleet.model.nearest import did_you_mean
from zeekfleet.model.texts import shown
from zeekfleet.model.variables import PCAP_FILE
from zeekfleet.planning import ini_lines, ini_values, node_settings
from zeekfleet.planning.ini_values import BaseDirectory, Resolver

T = TypeVar("T")
Section = dict[str, str | None]

INSTANCES = "instances"
DEFAULTS = configparser.DEFAULTSECT
SPECIAL_SECTIONS = {name.lower(): name for name in RESERVED_SECTIONS}
"""The sections that are not nodes, by their names in lower case. Such a name in another case is a probable mistake."""


class Key(msgspec.Struct, frozen=True):
    """A key of a node's section: its possible values, and its meaning."""

    values: str
    meaning: str


NODE_KEYS = {
    "instance": Key("a name", "the instance that runs the node; either all nodes name one or none does"),
    "role": Key("manager, logger, proxy or worker", "what the node does in the cluster; every node needs it"),
    "interface": Key("an interface, such as `eth0` or `af_packet::eth0`", "where a worker gets its traffic"),
    "pcap_file": Key("a path", "the trace that a worker reads instead of an interface"),
    "scripts": Key("words, as in a shell", "scripts, files and settings (`Name::option=value`) that the node loads"),
    "env": Key("`NAME=VALUE` words, as in a shell", "variables in the node's environment"),
    "cpu_affinity": Key("the number of a CPU, counted from 0", "the CPU that the node is bound to"),
    "port": Key("a port number from 1 to 65535", "where the node listens for other nodes; assigned if it is absent"),
    "metrics_port": Key("a port number from 1 to 65535", "where it serves its metrics; assigned if it is absent"),
    "type": Key("as `role`", "an old name for `role`, with a warning"),
    "state": Key("anything", "has no effect, with a warning"),
}
"""The keys of a node's section, without those of ``node_settings``."""

KNOWN_KEYS = NODE_KEYS.keys() | node_settings.KEYS.keys()


LISTS = frozenset({"scripts", "env"})
"""The keys whose values may span several lines."""

ALTERNATIVES = (("role", "type"), ("interface", "pcap_file"))
"""Pairs of keys that exclude each other: a node's own key overrides the other one in ``[DEFAULT]``."""


class ParsedConfiguration(msgspec.Struct, frozen=True):
    """A file's configuration, and warnings for the file's author, one sentence each."""

    configuration: Configuration
    warnings: tuple[str, ...] = ()


class RawFile(configparser.RawConfigParser):
    """Parses only the syntax of a file: no interpolation, no defaults, no change of case."""

    def __init__(self) -> None:
        super().__init__(allow_no_value=True, default_section="\0no such section")

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def parse_configuration(
    text: str,
    *,
    source: str,
    hostname: str,
    instance: str = "",
    resolver: Resolver | None = None,
    base: BaseDirectory | None = None,
    lax: bool = False,
) -> ParsedConfiguration:
    """Read a cluster configuration file.

    Args:
        source: the name of the file in errors and warnings, such as its path.
        hostname: this host's name; nodes without an instance go to ``agent-<hostname>``.
        instance: nodes without an instance go there instead, if it is given.
        resolver: turns host names into addresses; without it, host names are refused.
        base: makes relative paths absolute; without it, they stay relative.
        lax: warn of unknown keys instead of refusing them.

    Raises:
        ConfigurationError: with every problem: source, section, key, and what was expected.
    """
    chosen = instance or shortened(f"agent-{hostname or LOCALHOST}")
    return _Reader(source, chosen, resolver, base, lax).read(text.removeprefix("\ufeff"))


class _Reader:
    """Reads one file, collecting problems and warnings on the way."""

    def __init__(
        self, source: str, instance: str, resolver: Resolver | None, base: BaseDirectory | None, lax: bool
    ) -> None:
        self._source = source
        self._default_instance = instance
        self._resolver = resolver
        self._base = base
        self._lax = lax
        self._problems: list[str] = []
        self._warnings: list[str] = []

    def read(self, text: str) -> ParsedConfiguration:
        sections = self._sections(text)
        listed = sections.pop(INSTANCES, None)
        defaults = self._lowered(DEFAULTS, sections.pop(DEFAULTS, {}))
        self._check_keys(DEFAULTS, defaults, sections.values())
        values: dict[str, Section] = {}
        for name, section in sections.items():
            if name.lower() in SPECIAL_SECTIONS:
                self._problems.append(f"{self._source}: section [{name}], expected [{SPECIAL_SECTIONS[name.lower()]}]")
                continue
            own = self._lowered(name, section)
            self._check_keys(name, own, (own, defaults))
            values[name] = self._interpolated(name, _overridden(defaults, own))
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
        if problems := list(ini_lines.problems(text, lists=LISTS, keys=KNOWN_KEYS)):
            raise ConfigurationError([f"{self._source}: {problem}" for problem in problems])
        parser = RawFile()
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

    def _check_keys(self, name: str, section: Section, users: Iterable[Section]) -> None:
        """Report unknown keys, except those that other values refer to."""
        unknown = section.keys() - KNOWN_KEYS
        if unknown:
            texts = (value for user in users for value in user.values() if value is not None)
            unknown -= {key for text in texts for key in ini_values.referenced_keys(text)}
        for key in sorted(unknown):
            hint = did_you_mean(key, sorted(KNOWN_KEYS))
            if self._lax:
                self._warning(name, key, f"unknown, ignored{hint}")
            else:
                self._problem(name, key, f"is unknown{hint}")

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
                if host.version == 6 and "[" not in value:
                    self._warning(
                        INSTANCES, key, f"read as address {host}, port {port.number}; write [{host}]:{port.number}"
                    )
                yield Instance(name, host, port)

    def _node(self, name: str, section: Section) -> Node | None:
        before = len(self._problems)
        for key, value in section.items():
            if value is None:
                self._problem(name, key, "needs a value, expected KEY = VALUE")
        if len(self._problems) > before:
            return None
        for key in ("instance", "interface", "pcap_file"):
            if ini_values.has_comment(section.get(key) or ""):
                self._problem(name, key, f"'{section[key]}' is wrong, expected comments on lines of their own")
        if section.get("state"):
            self._warning(name, "state", "has no effect, ignored")
        role = self._role(name, section)
        port = self._value(name, section, "port", ini_values.read_port)
        scripts = self._scripts(name, section)
        cpu_affinity = self._value(name, section, "cpu_affinity", ini_values.read_cpu)
        env = self._env(name, section)
        metrics_port = self._value(name, section, "metrics_port", ini_values.read_port)
        if trace := section.get("pcap_file"):
            env[PCAP_FILE] = self._base.absolute(trace) if self._base is not None else trace
        self._check_contradictions(name, section, env, role)
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
            env={**env, **own},
            metrics_port=metrics_port,
        )

    def _own_settings(self, name: str, section: Section) -> Iterator[tuple[str, str]]:
        for key, (_, _, read) in node_settings.KEYS.items():
            if text := section.get(key):
                self._value(name, section, key, read)
                yield node_settings.variable(key), text

    def _scripts(self, name: str, section: Section) -> tuple[str, ...] | None:
        if not section.get("scripts"):
            return None
        words = self._value(name, section, "scripts", ini_values.read_scripts)
        if words is not None:
            self._warn_of_comment(name, "scripts", words)
            if self._base is not None:
                words = tuple(sorted(ini_values.resolve_script(word, self._base) for word in words))
        return words

    def _env(self, name: str, section: Section) -> dict[str, str]:
        if not section.get("env"):
            return {}
        variables = self._value(name, section, "env", ini_values.read_env) or {}
        self._warn_of_comment(name, "env", variables)
        for doubt in ini_values.env_warnings(variables):
            self._warning(name, "env", doubt)
        for key in variables.keys() & {node_settings.variable(key) for key in section}:
            self._problem(name, "env", f"sets {key}, for which there is a key beside it, expected one of the two")
        return dict(variables)

    def _warn_of_comment(self, name: str, key: str, words: Iterable[str]) -> None:
        if (comment := ini_values.first_comment(words)) is not None:
            self._warning(name, key, f"'{comment}' is read as a part of it; comments stand on lines of their own")

    def _check_contradictions(
        self, name: str, section: Section, env: Mapping[str, str], role: ClusterRole | None
    ) -> None:
        if section.get("interface") and env.get(PCAP_FILE):
            key = "pcap_file" if section.get("pcap_file") else "env"
            self._problem(name, key, "is given beside interface, expected one of the two")
        if section.get("cpu_affinity") and section.get("cpus"):
            self._problem(name, "cpus", "is given beside cpu_affinity, expected one of the two")
        old, new = section.get("type"), section.get("role")
        if old is None:
            return
        self._warning(name, "type", "an old name for role" + (", ignored" if new is not None else ""))
        if new is not None and self._value(name, section, "type", ini_values.read_role) is not role:
            self._problem(name, "type", f"'{old}' contradicts role '{new}', expected one of the two")

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
            self._problem(name, key, f"'{shown(text)}' is wrong, expected {error}")
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


def _overridden(defaults: Section, own: Section) -> Section:
    """The defaults, overridden by a node's own values."""
    replaced = {other for keys in ALTERNATIVES for key, other in (keys, keys[::-1]) if key in own and other not in own}
    return {key: value for key, value in defaults.items() if key not in replaced} | own


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
