"""Reads the file of ``zeekfleet supervise``: nodes and the programs that run them, in TOML or JSON.

::

    state_dir = "/var/lib/fleet"        # optional; relative to the file
    # These keys are defaults for nodes that do not set them:
    engine = "auto"                     # or command = [...]
    bare_mode = false
    grace = 5.0                         # seconds between SIGTERM and SIGKILL
    grace_ceiling = 300.0               # the same for a node that still writes or computes
    revival = { retry_delay = 60.0 }    # the fields of RevivalSettings
    resources = { nice = 5 }            # the fields of Resources

    [[node]]                            # the fields of Supervisor::NodeConfig
    name = "worker-1"
    interface = "eth0"
    env = { KEY = "value" }
    command = ["sleep", "1000"]         # or engine = "auto" | "zeek" | "sim"
    [node.cluster.manager]              # host is an address, ports like "2200/tcp" or 2200
    role = "MANAGER"
    host = "127.0.0.1"
    p = "2200/tcp"

Relative paths in ``directory`` and ``pcap_file`` begin in the directory of the file. So does the program of a command
if it has a slash; otherwise it is looked for on PATH. Scripts are found as in a cluster configuration
(:func:`ini_values.resolve_script`). Only a node's ``stdout_file`` and ``stderr_file`` begin in the node's directory.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import msgspec

from zeekfleet.client.config_file import Beside
from zeekfleet.errors import SettingsError
from zeekfleet.model import ranges
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.launch import AUTO, ENGINE_NAMES, Resources, RevivalSettings
from zeekfleet.model.names import name_problem
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.texts import shown
from zeekfleet.model.types import NO_PORT, Port, parse_port
from zeekfleet.planning.ini_values import resolve_script

LONGEST_SHOWN = 200
PROGRAM_KEYS = frozenset({"engine", "command", "grace", "grace_ceiling", "revival", "resources"})

S = TypeVar("S", RevivalSettings, Resources)


class Program(msgspec.Struct, frozen=True):
    """What runs a node, and how. Exactly one of the first two is set."""

    engine: str | None = None
    command: tuple[str, ...] | None = None
    grace: float | None = None
    grace_ceiling: float | None = None
    revival: RevivalSettings | None = None
    resources: Resources | None = None


class SuperviseFile(msgspec.Struct, frozen=True):
    """The whole file.

    Attributes:
        state_directory: the state directory as an absolute path; None if the file does not set it.
        bare_mode: the bare mode of nodes that do not set it.
        nodes: the nodes and the program of each, in the order of the file.
    """

    state_directory: Path | None
    bare_mode: bool
    nodes: tuple[tuple[NodeConfig, Program], ...]


def read(path: Path) -> SuperviseFile:
    """Read a file: JSON if its name ends in ``.json``, else TOML.

    Raises:
        SettingsError: it cannot be read or has errors; names file, table and key.
    """
    document = _document(path)
    for key in document.keys() - {"state_dir", "bare_mode", "node", *PROGRAM_KEYS}:
        raise SettingsError(f"{path}: {key}", "unknown key at the top level")
    beside = Beside(path.parent)
    default = _program(str(path), document, Program(engine=AUTO), beside)
    tables = _value(f"{path}: node", document.get("node", []), list[dict[str, Any]])
    nodes: dict[str, tuple[NodeConfig, Program]] = {}
    for number, table in enumerate(tables, 1):
        name = table.get("name")
        known = isinstance(name, str) and name
        where = f"{path}: [[node]] '{shown(str(name))}'" if known else f"{path}: [[node]] number {number}"
        config = _config(where, table, beside)
        if config.name in nodes:
            raise SettingsError(f"{where}: name", "another node has the same name")
        nodes[config.name] = (config, _program(where, table, default, beside))
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
        text = path.read_text(encoding="utf-8-sig")
        document = json.loads(text, object_pairs_hook=_object) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise SettingsError(str(path), error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(str(path), f"not valid {'JSON' if path.suffix == '.json' else 'TOML'}: {error}") from error
    if not isinstance(document, dict):
        raise SettingsError(str(path), "expected an object at the top level")
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that is given twice, as TOML does. Python's JSON reader would accept it."""
    document = dict(pairs)
    if len(document) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key '{next(key for key in keys if keys.count(key) > 1)}' is given twice in one object")
    return document


def _config(where: str, table: dict[str, Any], beside: Beside) -> NodeConfig:
    types = get_type_hints(NodeConfig, include_extras=True)
    fields = {field.name: types[field.name] for field in msgspec.structs.fields(NodeConfig)}
    for key in table.keys() - fields.keys() - PROGRAM_KEYS:
        raise SettingsError(f"{where}: {key}", "unknown key")
    if "name" not in table:
        raise SettingsError(f"{where}: name", "missing")
    values = {key: value for key, value in table.items() if key in fields}
    if "cluster" in values:
        rows = _value(f"{where}: cluster", values["cluster"], dict[str, dict[str, Any]])
        values["cluster"] = {name: _endpoint(f"{where}: cluster.{name}", row) for name, row in rows.items()}
    for key in values.keys() - {"cluster"}:
        values[key] = _value(f"{where}: {key}", values[key], fields[key])
    if problem := name_problem(values["name"]):
        raise SettingsError(f"{where}: name", problem)
    if values.get("interface") is not None and values.get("pcap_file") is not None:
        raise SettingsError(f"{where}: pcap_file", "cannot be set beside interface")
    for key in ("directory", "pcap_file"):
        if values.get(key):
            values[key] = beside.absolute(values[key])
    for key in ("addl_base_scripts", "addl_user_scripts"):
        values[key] = tuple(resolve_script(script, beside) for script in values.get(key, ()))
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


def _program(where: str, table: dict[str, Any], default: Program, beside: Beside) -> Program:
    if "engine" in table and "command" in table:
        raise SettingsError(f"{where}: command", "cannot be set beside engine")
    program = default
    if "command" in table:
        command = _value(f"{where}: command", table["command"], tuple[str, ...])
        if not command or not command[0]:
            raise SettingsError(f"{where}: command", "must name a program")
        if "/" in command[0]:
            command = (beside.absolute(command[0]), *command[1:])
        program = msgspec.structs.replace(program, command=command, engine=None)
    if "engine" in table:
        if table["engine"] not in ENGINE_NAMES:
            raise SettingsError(
                f"{where}: engine", f"expected one of {', '.join(ENGINE_NAMES)}, not {table['engine']!r}"
            )
        program = msgspec.structs.replace(program, engine=table["engine"], command=None)
    if "grace" in table:
        grace = _seconds(f"{where}: grace", table["grace"], ranges.GRACE)
        program = msgspec.structs.replace(program, grace=grace)
    if "grace_ceiling" in table:
        ceiling = _seconds(f"{where}: grace_ceiling", table["grace_ceiling"], ranges.GRACE_CEILING)
        program = msgspec.structs.replace(program, grace_ceiling=ceiling)
    if "revival" in table:
        revival = _merged(f"{where}: revival", program.revival or RevivalSettings(), table["revival"])
        program = msgspec.structs.replace(program, revival=revival)
    if "resources" in table:
        resources = _merged(f"{where}: resources", program.resources or Resources(), table["resources"])
        program = msgspec.structs.replace(program, resources=resources)
    return program


def _seconds(where: str, value: Any, expected: ranges.Range) -> float:
    seconds: float = _value(where, value, float)
    if seconds not in expected:
        raise SettingsError(where, f"expected {expected}, not {value}")
    return seconds


def _merged(where: str, base: S, given: Any) -> S:
    """A record with some of its fields replaced."""
    fields = get_type_hints(type(base))
    values = _value(where, given, dict[str, Any])
    for key in values.keys() - fields.keys():
        raise SettingsError(f"{where}.{key}", "unknown key")
    checked = {key: _value(f"{where}.{key}", value, fields[key]) for key, value in values.items()}
    table = ranges.REVIVAL if isinstance(base, RevivalSettings) else ranges.RESOURCES
    for key, value in checked.items():
        for one in value if isinstance(value, tuple) else (value,):
            if one is not None and key in table and one not in table[key]:
                raise SettingsError(f"{where}.{key}", f"expected {table[key]}, not {one}")
    return msgspec.structs.replace(base, **checked)


def _value(where: str, value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind, dec_hook=lambda type_, inner: type_(inner))
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        raise SettingsError(where, str(error).replace("`", "")) from error
