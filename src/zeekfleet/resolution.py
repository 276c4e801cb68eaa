"""Where the value of each setting comes from: option, environment variable, settings file, default, in this order."""

from __future__ import annotations

import os
import shlex
import tomllib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from zeekfleet.errors import SettingsError
from zeekfleet.model.addresses import numbers_problem
from zeekfleet.model.nearest import did_you_mean
from zeekfleet.settings import Settings, Source

DEFAULT = "default"

NEEDED = ("state_dir", "spool_dir")
"""Directories that there must be; an empty text would be the current one."""
"""The origin of a value that nobody gave."""


class Declaration(msgspec.Struct, frozen=True):
    """One setting, with where it may come from."""

    section: str
    name: str
    type: Any
    source: Source

    @property
    def key(self) -> str:
        """Its key in the settings file."""
        return f"{self.section}.{self.name}"

    def options(self, sections: tuple[str, ...]) -> tuple[str, ...]:
        """Its command line options in a daemon with these sections, the one to speak of first.

        Where two roles meet in one daemon, the controller keeps the plain names of its addresses and ports.
        """
        both_roles = "controller" in sections and "agent" in sections
        if not both_roles or not self.source.tree_option:
            return (self.source.option,)
        plain = self.section == "controller" and self.source.option in ("--port", "--listen")
        return (self.source.tree_option, self.source.option) if plain else (self.source.tree_option,)


class Resolved(msgspec.Struct, frozen=True):
    """The settings of a daemon, and for each key where its value came from."""

    settings: Settings
    origins: dict[str, str]


def declarations(sections: tuple[str, ...]) -> Iterator[Declaration]:
    """Every setting of these sections."""
    section_types = typing.get_type_hints(Settings)
    for section in sections:
        for name, hint in typing.get_type_hints(section_types[section], include_extras=True).items():
            source = next(item for item in hint.__metadata__ if isinstance(item, Source))
            others = tuple(item for item in hint.__metadata__ if not isinstance(item, Source))
            plain = typing.get_args(hint)[0]
            yield Declaration(section, name, Annotated[(plain, *others)] if others else plain, source)


def resolve(
    sections: tuple[str, ...],
    options: Mapping[str, str],
    environment: Mapping[str, str] = os.environ,
    file: Path | None = None,
) -> Resolved:
    """Put together a daemon's settings.

    Args:
        sections: the daemon's, such as ``("common", "agent")``.
        options: what was given on the command line, by key (``"agent.port"``), as text.
        environment: the environment variables.
        file: a TOML file with a table for each section.

    Raises:
        SettingsError: a value is wrong; the sentence tells which, where it was given, and what was expected.
    """
    table = _read_file(file) if file is not None else {}
    here = Path.cwd()
    chosen: dict[str, dict[str, Any]] = {section: {} for section in sections}
    origins: dict[str, str] = {}
    for setting in declarations(sections):
        variable = setting.source.environment
        value: Any = None
        origin = DEFAULT
        base = here
        if setting.key in options:
            value, origin = options[setting.key], setting.options(sections)[0]
        elif variable and environment.get(variable):
            value, origin = environment[variable], variable
        elif setting.name in table.get(setting.section, {}):
            value, origin = table[setting.section][setting.name], f"{setting.key} in {file}"
            base = (here / file.parent).resolve() if file is not None else here
        origins[setting.key] = origin
        if origin != DEFAULT:
            chosen[setting.section][setting.name] = _located(setting, _convert(setting, value, origin), base, origin)
    settings = msgspec.convert(chosen, Settings)
    common = msgspec.structs.replace(
        settings.common,
        state_dir=_absolute(settings.common.state_dir, here, "state_dir"),
        spool_dir=_absolute(settings.common.spool_dir, here, "spool_dir"),
    )
    archive = settings.archive
    if not archive.directory:
        archive = msgspec.structs.replace(archive, directory=_logs_beside(common.spool_dir))
    return Resolved(msgspec.structs.replace(settings, common=common, archive=archive), origins)


def _logs_beside(spool: str) -> str:
    return "/var/log/zeekfleet" if spool == "/var/spool/zeekfleet" else str(Path(spool).parent / "logs")


def _located(setting: Declaration, value: Any, base: Path, origin: str) -> Any:
    """The value, with the path in it made whole: daemons change their working directory."""
    match setting.source.names:
        case "path" if value:
            return _absolute(value, base, origin)
        case "command":
            return _absolute_command(value, base, origin)
        case "host" if not value.strip("[] "):
            # The system would take it for all addresses.
            raise SettingsError(origin, "expected an address to listen on; 0.0.0.0 or :: is every one")
        case "host" if problem := numbers_problem(value):
            raise SettingsError(origin, f"expected {problem}")
        case "host" if value.startswith("[") and value.endswith("]"):
            return value[1:-1]
        case "path" if setting.name in NEEDED and not value:
            raise SettingsError(origin, f"expected a directory for {setting.name}")
    return value


def _absolute(path: str, base: Path, origin: str) -> str:
    try:
        return str(base / Path(path).expanduser())
    except RuntimeError:
        raise SettingsError(origin, f"'{path}': there is no such home directory") from None


def _absolute_command(command: str, base: Path, origin: str) -> str:
    """The command, whose program is a path if there is a slash in it, and else looked for on PATH."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise SettingsError(origin, f"'{command}' cannot be split into words: {error}") from None
    if not words or "/" not in words[0] or words[0].startswith("/"):
        return command
    return shlex.join([_absolute(words[0], base, origin), *words[1:]])


def _convert(setting: Declaration, value: Any, origin: str) -> Any:
    """Check a value; text from options and variables may stand for numbers and booleans."""
    if isinstance(value, str) and setting.type is bool:
        lowered = value.lower()
        if lowered not in ("yes", "no", "true", "false", "on", "off", "1", "0"):
            raise SettingsError(origin, f"'{value}' is not yes or no")
        value = lowered in ("yes", "true", "on", "1")
    choices = typing.get_args(setting.type) if typing.get_origin(setting.type) is typing.Literal else ()
    if choices and value not in choices:
        raise SettingsError(origin, f"'{value}' is not one of {', '.join(choices)}")
    if isinstance(value, str) and "\0" in value:
        raise SettingsError(origin, "must not contain a NUL character")
    try:
        # Text is read as a number only where it came as text by nature; a TOML file has types of its own.
        return msgspec.convert(value, setting.type, strict=" in " in origin)
    except msgspec.ValidationError as error:
        raise SettingsError(origin, f"'{value}' is wrong: {error}") from None


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
    for setting in declarations(Settings.__struct_fields__):
        known.setdefault(setting.section, set()).add(setting.name)
    for section, table in content.items():
        if section not in known or not isinstance(table, dict):
            raise SettingsError(str(file), f"unknown table '{section}', expected {', '.join(sorted(known))}")
        for key in table:
            if key not in known[section]:
                raise SettingsError(str(file), f"unknown key '{section}.{key}'{did_you_mean(key, known[section])}")
    return content
