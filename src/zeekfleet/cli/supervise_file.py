"""The file of ``zeekfleet supervise``: nodes and what runs them, in TOML or JSON.

::

    state_dir = "/var/lib/fleet"        # optional; relative to the file
    engine = "auto"                     # or command = [...]: for nodes that do not say
    bare_mode = false                   # likewise

    [[node]]                            # the fields of Supervisor::NodeConfig
    name = "worker-1"
    interface = "eth0"
    env = { KEY = "value" }
    command = ["sleep", "1000"]         # or engine = "auto" | "zeek" | "sim"
    [node.cluster.manager]              # host is an address, ports like "2200/tcp" or 2200
    role = "MANAGER"
    host = "127.0.0.1"
    p = "2200/tcp"
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from zeekfleet.errors import SettingsError
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import NO_PORT, Port, parse_port

ENGINES = ("auto", "zeek", "sim")


class Program(msgspec.Struct, frozen=True):
    """What runs a node: exactly one of the two is set."""

    engine: str | None = None
    command: tuple[str, ...] | None = None


class SuperviseFile(msgspec.Struct, frozen=True):
    """The whole file.

    Attributes:
        state_directory: as given, made absolute; None if not given.
        bare_mode: for nodes without a setting of their own.
        nodes: the nodes and what runs each, in the order of the file.
    """

    state_directory: Path | None
    bare_mode: bool
    nodes: tuple[tuple[NodeConfig, Program], ...]


def read(path: Path) -> SuperviseFile:
    """Read a file, JSON if its name ends so and TOML otherwise.

    Raises:
        SettingsError: it cannot be read, or says what cannot be meant; names file, table and key.
    """
    document = _document(path)
    for key in document.keys() - {"state_dir", "engine", "command", "bare_mode", "node"}:
        raise SettingsError(f"{path}: {key}", "unknown key at the top level")
    default = _program(str(path), document) or Program(engine="auto")
    tables = _value(f"{path}: node", document.get("node", []), list[dict[str, Any]])
    nodes: dict[str, tuple[NodeConfig, Program]] = {}
    for number, table in enumerate(tables, 1):
        name = table.get("name")
        where = f"{path}: [[node]] '{name}'" if isinstance(name, str) and name else f"{path}: [[node]] number {number}"
        config = _config(where, table)
        if config.name in nodes:
            raise SettingsError(f"{where}: name", "another node has the same name")
        nodes[config.name] = (config, _program(where, table) or default)
    if not nodes:
        raise SettingsError(str(path), "there is no [[node]] table in it")
    state = _value(f"{path}: state_dir", document.get("state_dir"), str | None)
    return SuperviseFile(
        state_directory=(path.absolute().parent / state) if state else None,
        bare_mode=_value(f"{path}: bare_mode", document.get("bare_mode", False), bool),
        nodes=tuple(nodes.values()),
    )


def _document(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise SettingsError(str(path), error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(str(path), f"not valid {'JSON' if path.suffix == '.json' else 'TOML'}: {error}") from error
    if not isinstance(document, dict):
        raise SettingsError(str(path), "expected an object at the top level")
    return document


def _config(where: str, table: dict[str, Any]) -> NodeConfig:
    types = get_type_hints(NodeConfig, include_extras=True)
    fields = {field.name: types[field.name] for field in msgspec.structs.fields(NodeConfig)}
    for key in table.keys() - fields.keys() - {"engine", "command"}:
        raise SettingsError(f"{where}: {key}", "unknown key")
    if "name" not in table:
        raise SettingsError(f"{where}: name", "missing")
    values = {key: value for key, value in table.items() if key in fields}
    if "cluster" in values:
        rows = _value(f"{where}: cluster", values["cluster"], dict[str, dict[str, Any]])
        values["cluster"] = {name: _endpoint(f"{where}: cluster.{name}", row) for name, row in rows.items()}
    for key in values.keys() - {"cluster"}:
        values[key] = _value(f"{where}: {key}", values[key], fields[key])
    if not values["name"] or " " in values["name"]:
        raise SettingsError(f"{where}: name", "must not be empty or contain spaces")
    if values.get("interface") is not None and values.get("pcap_file") is not None:
        raise SettingsError(f"{where}: pcap_file", "cannot be set beside interface")
    return NodeConfig(**values)


def _endpoint(where: str, row: dict[str, Any]) -> ClusterEndpoint:
    types = get_type_hints(ClusterEndpoint, include_extras=True)
    for key in row.keys() - {field.name for field in msgspec.structs.fields(ClusterEndpoint)}:
        raise SettingsError(f"{where}.{key}", "unknown key")
    values: dict[str, Any] = {"p": NO_PORT}
    for key, value in row.items():
        if key == "role":
            values[key] = _role(f"{where}.role", value)
        elif key in ("p", "metrics_port"):
            values[key] = _port(f"{where}.{key}", value)
        else:
            values[key] = _value(f"{where}.{key}", value, types[key])
    for key in ("role", "host"):
        if key not in values:
            raise SettingsError(f"{where}.{key}", "missing")
    return ClusterEndpoint(**values)


def _role(where: str, value: Any) -> ClusterRole:
    name = str(value).removeprefix(f"{ClusterRole.scope()}::").upper()
    if name not in ClusterRole.__members__:
        raise SettingsError(where, f"expected one of {', '.join(ClusterRole.__members__)}, not {value!r}")
    return ClusterRole[name]


def _port(where: str, value: Any) -> Port:
    try:
        return Port(value) if isinstance(value, int) and not isinstance(value, bool) else parse_port(str(value))
    except ValueError as error:
        raise SettingsError(where, str(error)) from error


def _program(where: str, table: dict[str, Any]) -> Program | None:
    if "engine" in table and "command" in table:
        raise SettingsError(f"{where}: command", "cannot be set beside engine")
    if "command" in table:
        command = _value(f"{where}: command", table["command"], tuple[str, ...])
        if not command or not command[0]:
            raise SettingsError(f"{where}: command", "must name a program")
        return Program(command=command)
    if "engine" in table:
        if table["engine"] not in ENGINES:
            raise SettingsError(f"{where}: engine", f"expected one of {', '.join(ENGINES)}, not {table['engine']!r}")
        return Program(engine=table["engine"])
    return None


def _value(where: str, value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind, dec_hook=lambda type_, inner: type_(inner))
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        raise SettingsError(where, str(error).replace("`", "")) from error
