"""The names of agent and controller: what they were at the first start is kept in the state directory, and stays.

Directories, the database and what clients know hang on these names, which follow the host's name by default. A
container that is made anew has another host name, and must go on where the former one ended.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec

from zeekfleet.daemon.directories import DATABASE, SETTINGS_FILE
from zeekfleet.errors import SettingsError
from zeekfleet.model.enums import Role
from zeekfleet.model.names import NODES
from zeekfleet.resolution import Resolved
from zeekfleet.settings import Settings
from zeekfleet.system.files import write_private

logger = logging.getLogger(__name__)

FILE = "names.json"
"""In the state directory: the name of each role that has served there."""

SECTIONS = {Role.AGENT: "agent", Role.CONTROLLER: "controller"}


def settled(resolved: Resolved, roles: tuple[Role, ...]) -> Settings:
    """The settings with the names that go with their state directory.

    Args:
        resolved: a name that was given on purpose must be the one that was kept.
        roles: whose names are needed.

    Raises:
        SettingsError: another name was given, or nobody can tell which name it should be.
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
            logger.info("the %s goes on as '%s', the name that %s was begun with", role.name.lower(), name, state)
            renamed = msgspec.structs.replace(getattr(settings, section), name=name)
            settings = msgspec.structs.replace(settings, **{section: renamed})
    return settings


def keep(state: Path, role: Role, name: str) -> None:
    """Note that a role serves in a state directory; the first name stays. A full disk costs the note, and no more."""
    kept = _read(state)
    if role.name not in kept:
        with contextlib.suppress(OSError):
            write_private(state / FILE, msgspec.json.encode({**kept, role.name: name}))


def _name(role: Role, wanted: str, origin: str, state: Path, kept: Mapping[str, str]) -> str:
    """The name to serve under.

    Args:
        role: who.
        wanted: what was given, or follows from the host.
        origin: where it was given; empty if it was not.
        state: the state directory.
        kept: names by role.
    """
    who = role.name.lower()
    if (former := kept.get(role.name)) is not None:
        if origin and wanted != former:
            raise SettingsError(
                origin,
                f"'{wanted}' is not the name of the {who} that state directory {state} was begun with, which is"
                f" '{former}': give that name or none, or take another state directory",
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
    """What matters here of the settings that a role was started with."""

    role: str


def _found(state: Path, role: Role) -> list[str]:
    """Names of directories in which this role has worked; that of a tree, and of a controller by itself."""
    if role is Role.CONTROLLER:
        return sorted(path.parent.name for path in (state / NODES).glob(f"*/{DATABASE}"))
    names = []
    for path in (state / NODES).glob(f"*/{SETTINGS_FILE}"):
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            if msgspec.json.decode(path.read_bytes(), type=_Started).role == role.name:
                names.append(path.parent.name)
    return sorted(names)


def _read(state: Path) -> dict[str, str]:
    """The names that were kept; none where they cannot be read, since directories tell them as well."""
    try:
        return msgspec.json.decode((state / FILE).read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        logger.warning("the names in %s cannot be read: %s", state / FILE, error, extra={"error": str(error)})
        return {}
