"""``zeekfleet show-settings``: the client's settings as zeek-client shows them, or a daemon's with their origins."""

from __future__ import annotations

import argparse

from zeekfleet.cli.daemon_options import SECTIONS, add_options, resolve_options
from zeekfleet.cli.options import Parser, Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.cli.streams import write_out
from zeekfleet.client.views import FAINT, Cell, Table, View
from zeekfleet.errors import CommandLineError
from zeekfleet.resolution import declarations


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = add_verb(subparsers, "show-settings")
    parser.add_argument("--origin", action="store_true", help="Client: a table of the values and their origins.")
    parser.add_argument(
        "daemon", nargs="?", choices=sorted(SECTIONS), help="A daemon, for its settings instead of the client's."
    )
    parser.add_argument("options", nargs=argparse.REMAINDER, help="Options that the daemon would be given.")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    session = Session(args)
    return _show_client(session, args.origin) if args.daemon is None else _show_daemon(session, args)


def _show_client(session: Session, with_origin: bool) -> int:
    """Show INI as zeek-client prints it; with ``--origin`` a table, with ``--json`` a document."""
    settings = session.settings
    items = settings.items()
    origins = {(section, key): settings.origin(section, key) for section, keys in items.items() for key in keys}
    if with_origin:
        document = {
            section: {key: {"value": value, "origin": origins[section, key]} for key, value in keys.items()}
            for section, keys in items.items()
        }
        session.output.show(document, lambda: _view(items, origins))
    elif session.output.as_json:
        session.output.show_document(dict(items))
    else:
        write_out(settings.as_ini())
    return 0


def _show_daemon(session: Session, args: argparse.Namespace) -> int:
    """Show every setting with its value and origin; secrets in commands are masked."""
    from zeekfleet.supervisor.redaction import redact_text  # noqa: PLC0415 - not needed for the client's settings

    parser = Parser(prog=f"zeekfleet show-settings {args.daemon}")
    sections = SECTIONS[args.daemon]
    add_options(parser, sections)
    try:
        resolved = resolve_options(parser.parse_args(args.options))
    except CommandLineError as error:
        raise CommandLineError(str(error), f"zeekfleet {args.daemon}") from None
    items: dict[str, dict[str, str]] = {section: {} for section in sections}
    for declaration in declarations(sections):
        value = str(getattr(getattr(resolved.settings, declaration.section), declaration.name))
        is_command = declaration.setting.names == "command"
        items[declaration.section][declaration.name] = redact_text(value) if is_command else value
    origins = {
        (section, key): resolved.sources[f"{section}.{key}"].text for section, keys in items.items() for key in keys
    }
    document = {
        section: {key: {"value": value, "origin": origins[section, key]} for key, value in keys.items()}
        for section, keys in items.items()
    }
    session.output.show(document, lambda: _view(items, origins))
    return 0


def _view(items: dict[str, dict[str, str]], origins: dict[tuple[str, str], str]) -> View:
    """A row for each setting, with its origin."""
    rows = tuple(
        (Cell(f"{section}.{key}"), Cell(value), Cell(origins[section, key], FAINT))
        for section, keys in items.items()
        for key, value in keys.items()
    )
    return [Table(("SETTING", "VALUE", "ORIGIN"), rows)]
