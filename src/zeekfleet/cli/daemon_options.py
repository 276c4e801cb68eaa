"""Command line options of the daemons, made from the settings' declarations."""

from __future__ import annotations

import argparse
from pathlib import Path

from zeekfleet.resolution import Resolved, declarations, resolve

PREFIX = "setting:"

SECTIONS: dict[str, tuple[str, ...]] = {
    "agent": ("common", "agent", "supervisor", "archive"),
    "controller": ("common", "controller"),
    "supervise": ("common", "supervisor"),
    "up": ("common", "controller", "agent", "supervisor", "archive"),
}
"""The sections of settings that each daemon has."""


def add_options(parser: argparse.ArgumentParser, sections: tuple[str, ...]) -> None:
    """One option a setting of these sections, and ``--settings FILE``."""
    parser.add_argument("--settings", metavar="FILE", type=Path, default=None, help="TOML file with settings")
    for setting in declarations(sections):
        variable = f" [{setting.source.environment}]" if setting.source.environment else ""
        parser.add_argument(
            *setting.options(sections),
            dest=PREFIX + setting.key,
            metavar="VALUE",
            default=None,
            help=f"{setting.source.help}{variable}",
        )
    parser.set_defaults(setting_sections=sections)


def resolve_options(args: argparse.Namespace) -> Resolved:
    """The settings that these options, the environment and the settings file give.

    Raises:
        SettingsError: one of them is wrong.
    """
    given = {
        name.removeprefix(PREFIX): value
        for name, value in vars(args).items()
        if name.startswith(PREFIX) and value is not None
    }
    return resolve(args.setting_sections, given, file=args.settings)
