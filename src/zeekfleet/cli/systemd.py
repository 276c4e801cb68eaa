"""``zeekfleet systemd install|print DAEMON``: the unit that runs a daemon under systemd, hardened."""

from __future__ import annotations

import argparse
from pathlib import Path

from zeekfleet.cli.daemon_options import SECTIONS
from zeekfleet.cli.messages import Messages
from zeekfleet.cli.purposes import VERBS
from zeekfleet.cli.streams import write_out
from zeekfleet.errors import SettingsError

SETTINGS = "/etc/zeekfleet/{}.toml"
UNITS = Path("/etc/systemd/system")
USER = "zeekfleet"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb and its options."""
    parser = subparsers.add_parser(
        "systemd",
        help=VERBS["systemd"],
        description="Print or install the systemd unit of a daemon. The unit gives the daemon the rights that it needs"
        " according to its settings file, and no others. Install it again when one of these settings has changed:"
        " directories, ports, on_exit, grace, engine.",
    )
    parser.add_argument("action", choices=("install", "print"), help="write the unit, or only show it")
    parser.add_argument("daemon", choices=("agent", "controller", "up"), help="the daemon that the unit runs")
    parser.add_argument("config", metavar="INI", nargs="?", type=Path, help="cluster configuration that 'up' deploys")
    parser.add_argument(
        "--settings",
        metavar="FILE",
        type=Path,
        default=None,
        help=f"the daemon's settings (default: {SETTINGS.format('DAEMON')}, if there is one)",
    )
    parser.add_argument("--user", metavar="NAME", default=USER, help=f"the user that it runs as (default: {USER})")
    parser.add_argument(
        "--no-capture",
        action="store_true",
        help="give it no capabilities, because no node of this host reads live traffic",
    )
    parser.add_argument(
        "--systemd",
        metavar="RELEASE",
        type=int,
        default=None,
        help="the release of systemd that will read the unit (default: this host's)",
    )
    parser.add_argument(
        "--directory", metavar="DIRECTORY", type=Path, default=UNITS, help=f"where to write to (default: {UNITS})"
    )
    parser.add_argument("--force", action="store_true", help="replace a unit that differs")
    parser.set_defaults(run=run, client_options=("--quiet",))


def run(args: argparse.Namespace) -> int:
    """Print or install the unit. Returns the exit code."""
    from zeekfleet.daemon import service_setup, service_unit  # noqa: PLC0415 - the other verbs must not pay for them
    from zeekfleet.planning.systemd_unit import unit_file  # noqa: PLC0415

    messages = Messages(quiet=args.quiet)
    if args.config is not None and args.daemon != "up":
        raise SettingsError("INI", "applies with 'up' only")
    needs = service_unit.needs_of(
        args.daemon,
        SECTIONS[args.daemon],
        file=args.settings or _usual_settings(args.daemon),
        config=args.config,
        user=args.user,
        captures=not args.no_capture,
    )
    release = service_unit.installed_version() if args.systemd is None else args.systemd
    text = unit_file(needs.service, release)
    for warning in needs.warnings:
        messages.warning(warning)
    if args.action == "print":
        write_out(text)
        return 0
    name = needs.service.unit
    is_new = service_setup.write_unit(args.directory, name, text, force=args.force)
    write_out(f"{args.directory / name} {'is written' if is_new else 'is as it should be'}\n")
    commands = [*service_setup.preparations(needs), "systemctl daemon-reload", f"systemctl enable --now {name}"]
    write_out("Next:\n" + "".join(f"  {command}\n" for command in commands))
    return 0


def _usual_settings(daemon: str) -> Path | None:
    usual = Path(SETTINGS.format(daemon))
    return usual if usual.exists() else None
