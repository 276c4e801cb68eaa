"""Finds out what the systemd unit of a daemon must contain, from the daemon's settings file and this host."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

import zeekfleet
from zeekfleet.errors import SettingsError, UnitFileError
from zeekfleet.lifecycle.order import START_ORDER
from zeekfleet.model import ranges
from zeekfleet.node.engines import may_read_traffic
from zeekfleet.node.zeek import installation
from zeekfleet.planning.systemd_unit import Service, ServiceName
from zeekfleet.resolution import Declaration, Resolved, declarations, resolve
from zeekfleet.settings import Settings

STATE, LOGS = Path("/var/lib"), Path("/var/log")
"""Where systemd makes directories of services, and gives them to the service's user."""

OWN = "zeekfleet"
"""The name of our directory in each, unless the settings name another."""

HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - nothing is made there
"""A service sees its own directories here, not those of the host."""

SEARCH_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin")
"""Where a service looks for programs unless its unit says otherwise."""

FREE_PORTS = 1024
"""Every user may listen on ports from this one on."""

WRITTEN = ("common.state_dir", "common.spool_dir", "archive.directory")
"""Settings that are directories which a daemon writes to. Other paths are files that it reads."""

ASK_TIMEOUT = 10.0
STOP_MARGIN = 10
"""Seconds that a daemon may take to end, in addition to its nodes."""

_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,30}|[0-9]{1,9}")
_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")
_VERSION = re.compile(r"systemd (\d+)")


class Needs(msgspec.Struct, frozen=True):
    """What the unit of a daemon is made from, and which files it needs.

    Attributes:
        service: the daemon.
        public: absolute paths of files that it reads and that are not secret: settings, configuration.
        private: absolute paths of other files that it reads: certificates and keys.
        warnings: sentences about probable surprises.
    """

    service: Service
    public: tuple[Path, ...]
    private: tuple[Path, ...]
    warnings: tuple[str, ...]


def installed_version() -> int:
    """The release of this host's systemd.

    Raises:
        UnitFileError: there is none.
    """
    command = ("systemctl", "--version")
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=ASK_TIMEOUT, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        answer = ""
    found = _VERSION.match(answer)
    if found is None:
        raise UnitFileError("'systemctl --version' does not tell a release of systemd: name it with --systemd")
    return int(found[1])


def needs_of(
    name: ServiceName, sections: tuple[str, ...], *, file: Path | None, config: Path | None, user: str, captures: bool
) -> Needs:
    """What a daemon needs.

    Args:
        name: the daemon.
        sections: the sections of its settings.
        file: its settings file.
        config: the cluster configuration that it deploys.
        user: the user that it will run as.
        captures: whether its nodes may read live traffic.

    Raises:
        SettingsError: a setting, the user or a path is wrong, or impossible for a service.
        UnitFileError: there is no program to run.
    """
    if not _USER.fullmatch(user):
        raise SettingsError("--user", f"expected the name or the number of a user, not {user[:200]!r}")
    # Our own environment variables are ignored: systemd starts the daemon without them.
    resolved = resolve(sections, {}, {}, file)
    supervisor, has_nodes = resolved.settings.supervisor, name != "controller"
    if has_nodes and supervisor.node_user:
        raise SettingsError("supervisor.node_user", "a service and its nodes run as one user: leave it out")
    public = tuple(one.absolute() for one in (file, config) if one is not None)
    private = tuple(Path(value) for one, value in _values(resolved) if _is_file(one) and value)
    program, zeek = _program(), None
    reads_traffic = has_nodes and may_read_traffic(supervisor.engine)
    warnings: list[str] = []
    if reads_traffic:
        zeek = installation.on_path()
        if zeek is None:
            warnings.append("there is no zeek on PATH, and the service will find none either")
    needed = (*_programs(program, zeek, resolved), *public, *private)
    for path in _within(TEMPORARY, needed):
        raise SettingsError(str(path), "a service does not see this, since it has a /tmp and a /var/tmp of its own")
    at_home = next(_within(HOMES, needed), None)
    if at_home is not None:
        warnings.append(f"{at_home} is in a home directory: the service may read home directories for that")
    state, logs, writable = _directories(resolved, has_nodes)
    service = Service(
        name=name,
        command=(str(program), name, *_arguments(file, config)),
        user=user,
        captures=reads_traffic and captures,
        keeps_nodes=has_nodes and supervisor.on_exit == "keep",
        # Groups of nodes stop one after another.
        stop_timeout=round(len(START_ORDER) * supervisor.grace) + STOP_MARGIN,
        has_low_ports=any(
            one.setting.within is ranges.PORT and value is not None and 0 < value < FREE_PORTS
            for one, value in _values(resolved)
        ),
        reads_homes=at_home is not None,
        state=state,
        logs=logs,
        writable=writable,
        search_path=_search_path(zeek),
    )
    return Needs(service, public, private, tuple(warnings))


def _program() -> Path:
    """The absolute path of the program ``zeekfleet`` that is running."""
    beside = Path(sys.executable).parent / "zeekfleet"
    found = str(beside) if beside.exists() else shutil.which("zeekfleet")
    if found is None:
        raise UnitFileError(f"there is no program 'zeekfleet' beside {sys.executable}, nor on PATH")
    return Path(found).absolute()


def _arguments(file: Path | None, config: Path | None) -> Iterator[str]:
    if config is not None:
        yield str(config.absolute())
    if file is not None:
        yield from ("--settings", str(file.absolute()))


def _values(resolved: Resolved) -> Iterator[tuple[Declaration, Any]]:
    """The daemon's settings and their values."""
    for one in declarations(Settings.__struct_fields__):
        if one.key in resolved.sources:
            yield one, getattr(getattr(resolved.settings, one.section), one.name)


def _is_file(one: Declaration) -> bool:
    return one.setting.names == "path" and one.key not in WRITTEN


def _programs(program: Path, zeek: str | None, resolved: Resolved) -> Iterator[Path]:
    """The programs that the daemon executes, and the directories of its own code."""
    yield from (program, Path(sys.prefix), Path(sys.base_prefix), *map(Path, zeekfleet.__path__))
    if zeek is not None:
        yield Path(zeek)
    for one, value in _values(resolved):
        if one.setting.names == "command" and value.startswith("/"):
            yield Path(shlex.split(value)[0])


def _search_path(zeek: str | None) -> tuple[str, ...]:
    """The PATH with which the service finds this zeek; empty if it is on the usual one."""
    place = "" if zeek is None else str(Path(zeek).parent)
    return () if place in ("", *SEARCH_PATH) else (place, *SEARCH_PATH)


def _within(directories: Iterable[Path], paths: Iterable[Path]) -> Iterator[Path]:
    """The paths that are below one of the directories, also if they get there by symbolic links."""
    above = tuple(directories)
    return (
        path for path in paths if any(place.is_relative_to(one) for place in (path, path.resolve()) for one in above)
    )


def _directories(resolved: Resolved, has_nodes: bool) -> tuple[str, str, tuple[str, ...]]:
    """The names of the directories that systemd makes for state and logs, and the paths of others.

    Raises:
        SettingsError: a service cannot use them.
    """
    common, archive = resolved.settings.common, resolved.settings.archive
    defaults = {key for key, source in resolved.sources.items() if source.is_default}
    state = STATE / OWN if "common.state_dir" in defaults else _normal(common.state_dir)
    made, logs_made = _made(state, STATE), ""
    others = [] if made else [state]
    if has_nodes:
        # The daemon's default is below the directory that systemd has made.
        is_below = bool(made) if "common.spool_dir" in defaults else _normal(common.spool_dir).is_relative_to(state)
        if not is_below:
            raise SettingsError(
                "common.spool_dir",
                f"expected a directory below the state directory of the service, such as {state}/spool: each directory"
                " that a service may write to is a mount, and rotated logs cannot be moved from one to another",
            )
        if archive.enabled:
            logs = LOGS / OWN if "archive.directory" in defaults else _normal(archive.directory)
            logs_made = _made(logs, LOGS)
            if not logs_made and not logs.is_relative_to(state):
                others.append(logs)
    for path in _within((*HOMES, *TEMPORARY), others):
        raise SettingsError(str(path), "a service cannot keep its files there: choose a directory elsewhere")
    return made, logs_made, tuple(map(str, others))


def _normal(path: str) -> Path:
    """The path without ``..``, which systemd does not accept."""
    return Path(os.path.normpath(path))


def _made(path: Path, base: Path) -> str:
    """The name of a directory that systemd makes below ``base``; empty if it does not make this one."""
    if path == base or not path.is_relative_to(base):
        return ""
    name = str(path.relative_to(base))
    return name if _PLAIN.fullmatch(name) else ""
