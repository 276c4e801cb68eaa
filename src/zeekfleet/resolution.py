"""Resolves the value of each setting: from option, environment variable, settings file or default, in this order."""

from __future__ import annotations

import contextlib
import enum
import os
import shlex
import tomllib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from zeekfleet.errors import SettingsError
from zeekfleet.model.addresses import numeric_host_problem
from zeekfleet.model.nearest import did_you_mean
from zeekfleet.model.variables import LOGS_DIRECTORY
from zeekfleet.settings import Setting, Settings, service_directory

NEEDED = ("state_dir", "spool_dir")
"""Directories that must be set: an empty text would mean the current directory."""

ROLES = ("controller", "agent")
"""Sections that one daemon may have both. Settings with the same name in both get the section's name as a prefix."""

PLAIN = ("port", "listen", "tls_certificate", "tls_key", "tls_ca", "tls_revoked")
"""The controller's settings that keep their plain names in a daemon with both roles."""

PREFIXED = ("archive",)
"""Sections whose options always begin with the section's name."""

NONE = "none"
"""The text for a number that is not set."""

SWITCHES = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}


class Origin(enum.Enum):
    """Which of the ways to give a setting was used."""

    OPTION = enum.auto()
    VARIABLE = enum.auto()
    FILE = enum.auto()
    DEFAULT = enum.auto()


class Source(msgspec.Struct, frozen=True):
    """The origin of a value; as text ``--port``, ``ZEEK_AGENT_PORT``, ``agent.port in FILE`` or ``default``."""

    origin: Origin
    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def is_default(self) -> bool:
        """Whether nobody gave a value."""
        return self.origin is Origin.DEFAULT


DEFAULT = Source(Origin.DEFAULT, "default")


class Declaration(msgspec.Struct, frozen=True):
    """One setting, with the names by which it can be given.

    Attributes:
        section: its table in the settings file.
        name: its key in that table.
        type: ``int``, ``float``, ``bool``, ``str`` or a ``Literal``.
        setting: its help and limits.
    """

    section: str
    name: str
    type: Any
    setting: Setting

    @property
    def key(self) -> str:
        """Its key in the settings file, with the table's name."""
        return f"{self.section}.{self.name}"

    @property
    def option(self) -> str:
        """Its command line option where a daemon has all sections, such as ``--agent-port``."""
        if self.setting.option:
            return self.setting.option
        needs_section = self.section in PREFIXED or self.name in _SHARED.get(self.section, ())
        return f"--{f'{self.section}_' if needs_section else ''}{self.name}".replace("_", "-")

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return self.setting.variable or f"ZEEKFLEET_{self.option[2:].replace('-', '_').upper()}"

    def options(self, sections: tuple[str, ...]) -> tuple[str, ...]:
        """Its command line options in a daemon with these sections, beginning with the one to use in messages.

        In a daemon of one role, options have no role's name. In a daemon with both roles, some settings of
        the controller keep their plain names.
        """
        if self.section not in ROLES or self.name not in _SHARED[self.section]:
            return (self.option,)
        plain = f"--{self.name.replace('_', '-')}"
        if not all(role in sections for role in ROLES):
            return (plain,)
        return (self.option, plain) if self.section == "controller" and self.name in PLAIN else (self.option,)


class Resolved(msgspec.Struct, frozen=True):
    """The settings of a daemon, and the origin of each value, by key."""

    settings: Settings
    sources: dict[str, Source]


def declarations(sections: tuple[str, ...]) -> Iterator[Declaration]:
    """Every setting of these sections."""
    section_types = typing.get_type_hints(Settings)
    for section in sections:
        for name, hint in typing.get_type_hints(section_types[section], include_extras=True).items():
            (setting,) = hint.__metadata__
            yield Declaration(section, name, int if setting.none else hint.__origin__, setting)


def _names_in_several_sections() -> dict[str, frozenset[str]]:
    """For each section, the names of settings that another section has, too."""
    names = {section: set(kind.__struct_fields__) for section, kind in typing.get_type_hints(Settings).items()}
    return {
        section: frozenset(own & set().union(*(others for other, others in names.items() if other != section)))
        for section, own in names.items()
    }


_SHARED = _names_in_several_sections()


def resolve(
    sections: tuple[str, ...],
    options: Mapping[str, str],
    environment: Mapping[str, str] = os.environ,
    file: Path | None = None,
) -> Resolved:
    """Resolve a daemon's settings.

    Args:
        sections: the daemon's sections, such as ``("common", "agent")``.
        options: the options on the command line, by key (``"agent.port"``), as text.
        environment: the environment variables.
        file: a TOML file with a table for each section.

    Raises:
        SettingsError: a value is wrong; the sentence says which, where it was given, and what was expected.
    """
    table = _read_file(file) if file is not None else {}
    here = Path.cwd()
    chosen: dict[str, dict[str, Any]] = {section: {} for section in sections}
    sources: dict[str, Source] = {}
    for declaration in declarations(sections):
        key, variable = declaration.key, declaration.variable
        value: Any = None
        source, base = DEFAULT, here
        if key in options:
            value, source = options[key], Source(Origin.OPTION, declaration.options(sections)[0])
        elif environment.get(variable):
            value, source = environment[variable], Source(Origin.VARIABLE, variable)
        elif file is not None and declaration.name in table.get(declaration.section, {}):
            value, source = table[declaration.section][declaration.name], Source(Origin.FILE, f"{key} in {file}")
            base = (here / file.parent).resolve()
        sources[key] = source
        if not source.is_default:
            converted = _convert(declaration, value, source)
            chosen[declaration.section][declaration.name] = _located(declaration, converted, base, source.text)
    settings = msgspec.convert(chosen, Settings)
    common = msgspec.structs.replace(
        settings.common,
        state_dir=_absolute(settings.common.state_dir, here, "state_dir"),
        spool_dir=_absolute(settings.common.spool_dir, here, "spool_dir"),
    )
    archive = settings.archive
    if not archive.directory:
        logs = service_directory(LOGS_DIRECTORY, environment) or _logs_beside(common.spool_dir)
        archive = msgspec.structs.replace(archive, directory=logs)
    return Resolved(msgspec.structs.replace(settings, common=common, archive=archive), sources)


def _logs_beside(spool: str) -> str:
    return "/var/log/zeekfleet" if spool == "/var/spool/zeekfleet" else str(Path(spool).parent / "logs")


def _located(declaration: Declaration, value: Any, base: Path, origin: str) -> Any:
    """The value, with its path made absolute, because daemons change their working directory."""
    match declaration.setting.names:
        case "path" if value:
            return _absolute(value, base, origin)
        case "command":
            return _absolute_command(value, base, origin)
        case "host" if not value.strip("[] "):
            # The system would take it for all addresses.
            raise SettingsError(origin, "expected an address to listen on; 0.0.0.0 or :: is every one")
        case "host" if problem := numeric_host_problem(value):
            raise SettingsError(origin, f"expected {problem}")
        case "host" if value.startswith("[") and value.endswith("]"):
            return value[1:-1]
        case "path" if declaration.name in NEEDED and not value:
            raise SettingsError(origin, f"expected a directory for {declaration.name}")
    return value


def _absolute(path: str, base: Path, origin: str) -> str:
    try:
        return str(base / Path(path).expanduser())
    except RuntimeError:
        raise SettingsError(origin, f"'{path}': there is no such home directory") from None


def _absolute_command(command: str, base: Path, origin: str) -> str:
    """The command, with the program's path made absolute if it has a slash; else it is looked for on PATH later."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise SettingsError(origin, f"'{command}' cannot be split into words: {error}") from None
    if not words or "/" not in words[0] or words[0].startswith("/"):
        return command
    return shlex.join([_absolute(words[0], base, origin), *words[1:]])


def _convert(declaration: Declaration, value: Any, source: Source) -> Any:
    """Check a value. Options and variables are text, which may stand for numbers and switches; TOML has types."""
    kind, where = declaration.type, source.text
    if declaration.setting.none and value == NONE:
        return None
    if isinstance(value, str) and source.origin is not Origin.FILE:
        value = _from_text(value, kind)
    if typing.get_origin(kind) is typing.Literal:
        choices = typing.get_args(kind)
        if value not in choices:
            raise SettingsError(where, f"'{value}' is not one of {', '.join(choices)}")
    elif kind is bool:
        if not isinstance(value, bool):
            raise SettingsError(where, f"'{value}' is not yes or no")
    elif kind is str:
        if not isinstance(value, str):
            raise SettingsError(where, f"'{value}' is wrong: expected text")
        if "\0" in value:
            raise SettingsError(where, "must not contain a NUL character")
    else:
        value = _number(declaration, value, where)
    return value


def _from_text(text: str, kind: Any) -> Any:
    """Convert a text to this type; if that is not possible, return the text."""
    if kind is bool:
        return SWITCHES.get(text.lower(), text)
    if kind in (int, float) and "_" not in text:
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def _number(declaration: Declaration, value: Any, where: str) -> int | float:
    """Check that a number is in its range. A whole number is accepted for a float."""
    setting, kind = declaration.setting, declaration.type
    is_number = isinstance(value, kind) or (kind is float and isinstance(value, int))
    if is_number and not isinstance(value, bool) and setting.allows(value):
        return float(value) if kind is float else int(value)
    expected = f"{'a whole number, ' if kind is int else ''}{setting.expected}"
    raise SettingsError(where, f"'{value}' is wrong: expected {expected}")


def _read_file(file: Path) -> dict[str, dict[str, Any]]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError(str(file), f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(str(file), "is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(str(file), f"is not TOML: {error}") from None
    known: dict[str, set[str]] = {}
    for declaration in declarations(Settings.__struct_fields__):
        known.setdefault(declaration.section, set()).add(declaration.name)
    for section, table in content.items():
        if section not in known or not isinstance(table, dict):
            raise SettingsError(str(file), f"unknown table '{section}', expected {', '.join(sorted(known))}")
        for key in table:
            if key not in known[section]:
                raise SettingsError(str(file), f"unknown key '{section}.{key}'{did_you_mean(key, known[section])}")
    return content
