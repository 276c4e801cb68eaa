"""Keeps the names of agent and controller in the state directory, so that they stay what they were at the first start.

By default these names contain the host's name. The directories and the database depend on them, and clients know them.
A container that is created anew has another host name, but must use the same state as the former one.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec

from zeekfleet.daemon.directories import DATABASE, SETTINGS_FILE, daemon_directories
from zeekfleet.errors import SettingsError
from zeekfleet.model.enums import Role
from zeekfleet.resolution import Resolved
from zeekfleet.settings import Settings
from zeekfleet.system.files import write_private

logger = logging.getLogger(__name__)

FILE = "names.json"
"""The file in the state directory with the name under which each role has run there."""

SECTIONS = {Role.AGENT: "agent", Role.CONTROLLER: "controller"}


def settled(resolved: Resolved, roles: tuple[Role, ...]) -> Settings:
    """The settings, with the names that are kept in their state directory.

    Args:
        resolved: the settings and their origins. A name that was set explicitly must equal the one that is kept.
        roles: the roles whose names are needed.

    Raises:
        SettingsError: another name was set, or the state directory has the state of several.
    """
    settings = resolved.settings
    state = Path(settings.common.state_dir)
    kept = _read(state)
    for role in roles:
        section = SECTIONS[role]
        wanted: str = getattr(settings, section).name
        source = resolved.sources[f"{section}.name"]
        name = _name(role, wanted, "" if source.is_default else source.text, state, kept)
        if name != wanted:
            who = role.name.lower()
            logger.info("the %s keeps the name '%s', which it has in state directory %s", who, name, state)
            renamed = msgspec.structs.replace(getattr(settings, section), name=name)
            settings = msgspec.structs.replace(settings, **{section: renamed})
    return settings


def keep(state: Path, role: Role, name: str) -> None:
    """Keep the name of a role, unless one is kept already. If the disk is full, it is not kept, which is no error."""
    kept = _read(state)
    if role.name not in kept:
        with contextlib.suppress(OSError):
            write_private(state / FILE, msgspec.json.encode({**kept, role.name: name}))


def _name(role: Role, wanted: str, origin: str, state: Path, kept: Mapping[str, str]) -> str:
    """The name of a role.

    Args:
        role: the role.
        wanted: the name in the settings, which may be the default.
        origin: where the name was set; empty if it is the default.
        state: the state directory.
        kept: the kept names, by role.
    """
    who = role.name.lower()
    if (former := kept.get(role.name)) is not None:
        if origin and wanted != former:
            raise SettingsError(
                origin,
                f"'{wanted}' is not the name that the {who} has in state directory {state}, which is '{former}':"
                f" give that name or none, or use another state directory",
            )
        return former
    found = _found(state, role)
    others = ", ".join(f"'{name}'" for name in found if name != wanted)
    if origin or wanted in found or not found:
        if others:
            logger.warning("state directory %s also has the state of another %s: %s", state, who, others)
        return wanted
    if len(found) > 1:
        raise SettingsError(
            f"{SECTIONS[role]}.name",
            f"state directory {state} has the state of several: {others}; say which of them is meant",
        )
    return found[0]


class _Started(msgspec.Struct):
    """The one field that matters here of the settings file of a role."""

    role: str


def _found(state: Path, role: Role) -> list[str]:
    """The names under which this role has run in this state directory, in a tree or (a controller) by itself."""
    if role is Role.CONTROLLER:
        return [directory.name for directory in daemon_directories(state, DATABASE)]
    names = []
    for directory in daemon_directories(state, SETTINGS_FILE):
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            if msgspec.json.decode((directory / SETTINGS_FILE).read_bytes(), type=_Started).role == role.name:
                names.append(directory.name)
    return names


def _read(state: Path) -> dict[str, str]:
    """The kept names. If the file cannot be read, there are none: the names of directories tell them, too."""
    try:
        return msgspec.json.decode((state / FILE).read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        logger.warning("the names in %s cannot be read: %s", state / FILE, error, extra={"error": str(error)})
        return {}
