"""Groups of the daemons' options for help texts, and each option's values and default. Pure."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator

from zeekfleet.model import ranges
from zeekfleet.resolution import NONE, Declaration
from zeekfleet.settings import Settings

_GROUPS = (
    ("common.allow_", "who is served"),
    ("common.server_name", "who is served"),
    ("common.insecure", "who is served"),
    *((f"common.{name}", "limits of connections") for name in ("frame_", "unfinished_", "connection_", "handshake_")),
    ("common.", "daemon"),
    ("controller.tls_", "controller: certificates"),
    ("agent.tls_", "agent: certificates"),
    ("controller.auto_assign_", "controller: ports that nodes lack"),
    ("controller.node_limit", "controller: limits"),
    ("controller.audit_", "controller: limits"),
    ("controller.notification_", "controller: limits"),
    ("controller.", "controller"),
    ("agent.health_", "agent: health of nodes"),
    ("agent.", "agent"),
    ("supervisor.node_", "nodes: their user"),
    ("supervisor.revival", "nodes: starting them again"),
    ("supervisor.crash_", "nodes: crash reports"),
    ("supervisor.exit_", "nodes: crash reports"),
    ("supervisor.output_", "nodes: their output"),
    ("supervisor.zeromq_", "nodes: back end"),
    ("supervisor.backend", "nodes: back end"),
    *((f"supervisor.{name}", "nodes: resources") for name in ("nice", "memory_", "open_", "core_", "cgroups")),
    ("supervisor.", "supervisor and nodes"),
    ("archive.", "archive of rotated logs"),
)
"""Beginnings of settings' keys, each with the group of these settings. The first that matches counts."""

_TEXTS = (
    ("_dir", "DIRECTORY"),
    ("directory", "DIRECTORY"),
    ("listen", "ADDRESS"),
    ("agent.controller", "HOST[:PORT]"),
    ("allow_user", "NAMES"),
    ("allow_group", "NAMES"),
    ("server_name", "NAMES"),
    ("node_user", "USER"),
    ("node_group", "GROUP"),
    ("name", "NAME"),
    ("command", "COMMAND"),
    (".tls_certificate", "FILE"),
    (".tls_key", "FILE"),
    (".tls_ca", "FILE"),
    (".tls_revoked", "FILE"),
)
"""Ends of settings' keys, each with the word that stands for the value in help texts."""


def grouped(settings: Iterable[Declaration]) -> Iterator[tuple[str, list[Declaration]]]:
    """The settings by group. Groups are in the order of their first settings."""
    groups: dict[str, list[Declaration]] = {}
    for setting in settings:
        title = next(title for beginning, title in _GROUPS if setting.key.startswith(beginning))
        groups.setdefault(title, []).append(setting)
    yield from groups.items()


def values(setting: Declaration) -> str:
    """The word for the option's value in help texts: ``{auto,zeek,sim}``, ``{yes,no}``, ``PORT``, ``DIRECTORY``."""
    kind = setting.type
    if kind is bool:
        return "{yes,no}"
    if typing.get_origin(kind) is typing.Literal:
        return f"{{{','.join(map(str, typing.get_args(kind)))}}}"
    if kind in (int, float):
        return "PORT" if setting.setting.within is ranges.PORT else "NUMBER"
    return next((word for end, word in _TEXTS if setting.key.endswith(end)), "TEXT")


def default(setting: Declaration, defaults: Settings) -> str:
    """The default, as a user would write it; empty if there is none."""
    value = getattr(getattr(defaults, setting.section), setting.name)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return NONE
    return f"{value:.15g}" if isinstance(value, float) else str(value)
