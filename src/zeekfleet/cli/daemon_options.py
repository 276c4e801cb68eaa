"""Command line options of the daemons, made from the settings' declarations."""

from __future__ import annotations

import argparse
from collections.abc import Container
from pathlib import Path
from typing import Any

from zeekfleet.cli.inapplicable import refuse_inapplicable
from zeekfleet.cli.option_groups import default, grouped, values
from zeekfleet.resolution import Resolved, declarations, resolve
from zeekfleet.settings import Settings

PREFIX = "setting:"

SECTIONS: dict[str, tuple[str, ...]] = {
    "agent": ("common", "agent", "supervisor", "archive"),
    "controller": ("common", "controller"),
    "supervise": ("common", "supervisor"),
    "up": ("common", "controller", "agent", "supervisor", "archive"),
}
"""The sections of settings that each daemon has."""


def add_options(parser: argparse.ArgumentParser, sections: tuple[str, ...], only: Container[str] | None = None) -> None:
    """Add an option for each setting of these sections, in groups, and ``--settings FILE``.

    Args:
        parser: the parser to which they are added.
        sections: the sections of settings.
        only: the keys of the settings that get an option, such as ``common.state_dir``; None for all.
    """
    parser.add_argument("--settings", metavar="FILE", type=Path, default=None, help="TOML file with settings")
    defaults = Settings()
    for title, settings in grouped(declarations(sections)):
        applying = [setting for setting in settings if only is None or setting.key in only]
        if not applying:
            continue
        group = parser.add_argument_group(title)
        for setting in applying:
            usual = default(setting, defaults)
            told = f" (default: {usual})" if usual else ""
            usage: dict[str, Any] = {"metavar": values(setting)}
            if setting.setting.flag:
                usage, told = {"action": "store_const", "const": "yes"}, ""
            group.add_argument(
                *setting.options(sections),
                dest=PREFIX + setting.key,
                default=None,
                help=f"{setting.setting.help}{told} [{setting.variable}]".replace("%", "%%"),
                **usage,
            )
    parser.set_defaults(setting_sections=sections)
    # The usage line would list seventy options. They are in the help below it, in groups.
    arguments = (parser._get_formatter()._format_args(one, one.dest) for one in parser._get_positional_actions())
    parser.usage = " ".join(("%(prog)s [OPTIONS]", *arguments))


def resolve_options(args: argparse.Namespace) -> Resolved:
    """The settings that result from these options, the environment and the settings file.

    Raises:
        SettingsError: one of them is wrong, or has no effect together with the others.
    """
    given = {
        name.removeprefix(PREFIX): value
        for name, value in vars(args).items()
        if name.startswith(PREFIX) and value is not None
    }
    resolved = resolve(args.setting_sections, given, file=args.settings)
    refuse_inapplicable(resolved)
    return resolved
