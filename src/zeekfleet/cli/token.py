"""``zeekfleet token``: one-time tokens by which agents on other hosts get their certificates."""

from __future__ import annotations

import argparse
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

from zeekfleet.cli.daemon_options import add_options, resolve_options
from zeekfleet.cli.durations import parse_duration
from zeekfleet.cli.messages import Messages
from zeekfleet.cli.options import HelpFormatter, Subparsers
from zeekfleet.cli.purposes import VERBS
from zeekfleet.cli.showing import Output
from zeekfleet.client.results import Document
from zeekfleet.client.views import BUSY, FAINT, GOOD, Cell, Note, Table, View
from zeekfleet.lifecycle.wording import duration
from zeekfleet.model.addresses import address_text
from zeekfleet.model.defaults import CONTROLLER_PORT, THIS_HOST
from zeekfleet.model.names import PKI
from zeekfleet.pki.hosts import parse_host
from zeekfleet.pki.join_token import LIFE, TTL
from zeekfleet.security.certificates import date_text
from zeekfleet.security.identity import Identity, PeerRole
from zeekfleet.settings import Settings

if TYPE_CHECKING:
    from zeekfleet.pki.join_token import JoinToken
    from zeekfleet.pki.tokens import Kept

# Modules of ``pki`` that use the certificate library are imported by the functions that need them. The library takes
# long to import, and a user who only asks for help should not wait for it.

TONES = {"waiting": GOOD, "used": FAINT, "expired": FAINT, "not valid yet": BUSY}


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "token",
        help=VERBS["token"],
        description="Make tokens by which agents on other hosts join. A token is worth one certificate, for one name,"
        " from the authority on this host (see pki). This is for the controller's host; nothing here uses the network.",
        formatter_class=HelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    _add_create(actions)
    _add_list(actions)
    _add_revoke(actions)
    parser.set_defaults(run=run, client_options=("--quiet", "--json"))


def _add_create(actions: Subparsers) -> None:
    about = "Make a token, which replaces the agent's present one, and show how to use it."
    create = actions.add_parser("create", help=about, description=about, formatter_class=HelpFormatter)
    roles = create.add_subparsers(title="owners", dest="role", metavar="ROLE", required=True)
    agent = _add_action(roles, "agent", "Make a token for an agent.")
    agent.add_argument("name", metavar="NAME", help="The agent's name.")
    agent.add_argument(
        "--ttl",
        metavar="DURATION",
        type=_ttl,
        default=TTL,
        help=f"How long it is accepted: 30min, 12h, 2d (default: {duration(TTL)}).",
    )
    agent.add_argument(
        "--host",
        metavar="HOST",
        action="append",
        default=[],
        help="Name or address by which others reach the agent. Can use repeatedly; needed if the controller connects.",
    )
    agent.add_argument("--json", action="store_true", dest="own_json", help="Print JSON instead of text.")
    _add_place(agent, "controller.port")


def _add_list(actions: Subparsers) -> None:
    parser = _add_action(actions, "list", "Show the tokens, without their secrets, which are not kept.")
    parser.add_argument("--json", action="store_true", dest="own_json", help="Print JSON instead of tables.")
    _add_place(parser)


def _add_revoke(actions: Subparsers) -> None:
    parser = _add_action(actions, "revoke", "Revoke a token. A certificate that was issued for it stays valid.")
    parser.add_argument("name", metavar="NAME", help="The agent's name.")
    _add_place(parser)


def _add_action(actions: Subparsers, name: str, about: str) -> argparse.ArgumentParser:
    return actions.add_parser(name, help=about, description=about, formatter_class=HelpFormatter)


def _add_place(parser: argparse.ArgumentParser, *further: str) -> None:
    """The options that say where the authority is, after all other arguments."""
    parser.add_argument(
        "--directory", metavar="DIR", type=Path, help="The authority's directory (default: STATE_DIR/pki)."
    )
    add_options(parser, ("common", "controller"), only=("common.state_dir", *further))


def _ttl(text: str) -> float:
    seconds = parse_duration(text)
    if seconds is None or seconds not in LIFE:
        raise argparse.ArgumentTypeError(f"'{text}' is wrong: expected a duration such as 30min, from 1min to 30d")
    return seconds


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    settings = resolve_options(args).settings
    directory: Path = args.directory or Path(settings.common.state_dir) / PKI
    output = Output(as_json=args.json or getattr(args, "own_json", False))
    match args.action:
        case "create":
            _create(directory, args, settings, output)
        case "list":
            _list(directory, output)
        case _:
            _revoke(directory, args.name, output)
    return 0


def _create(directory: Path, args: argparse.Namespace, settings: Settings, output: Output) -> None:
    from zeekfleet.pki.directory import PkiDirectory  # noqa: PLC0415
    from zeekfleet.pki.tokens import Tokens, controller_hosts  # noqa: PLC0415

    pki = PkiDirectory(directory)
    token, kept = Tokens(pki).create(args.name, args.ttl, tuple(map(parse_host, args.host)))
    now = time.time()
    records = pki.issued()
    reached = [host for host in controller_hosts(records, now) if host not in THIS_HOST]
    command = _command(token, reached[0] if reached else "HOST", settings.controller.port or CONTROLLER_PORT)
    messages = Messages(quiet=args.quiet)
    if not reached:
        messages.warning(
            "no controller has a certificate that counts: make one with 'zeekfleet pki issue controller --host HOST'"
        )
    for one in records:
        if one.identity == Identity(PeerRole.AGENT, args.name) and one.counts(now):
            until = f"until {date_text(one.end)}"
            messages.note(f"a certificate stays valid {until}; to end it: zeekfleet pki revoke {one.serial}")
    document = {**_document(kept, now), "token": token.text, "command": command}
    output.show(
        document,
        lambda: [
            Note(f"token for {kept.identity}, to be used once until {date_text(kept.expires)}; on its host:", GOOD),
            Note(f"\n    {command}\n"),
        ],
    )


def _command(token: JoinToken, host: str, port: int) -> str:
    """What to run on the other host."""
    place = f"[{host}]" if ":" in host else host
    if port != CONTROLLER_PORT:
        place = address_text(host, port)
    return f"zeekfleet agent --join {shlex.quote(token.text)} --controller {shlex.quote(place)}"


def _list(directory: Path, output: Output) -> None:
    from zeekfleet.pki.directory import PkiDirectory  # noqa: PLC0415
    from zeekfleet.pki.tokens import Tokens  # noqa: PLC0415

    kept, now = Tokens(PkiDirectory(directory)).kept(), time.time()
    output.show({"tokens": [_document(one, now) for one in kept]}, lambda: _table(kept, now))


def _revoke(directory: Path, name: str, output: Output) -> None:
    from zeekfleet.pki.directory import PkiDirectory  # noqa: PLC0415
    from zeekfleet.pki.tokens import Tokens  # noqa: PLC0415

    kept = Tokens(PkiDirectory(directory)).revoke(name)
    output.show({"revoked": str(kept.identity)}, lambda: [Note(f"revoked the token for {kept.identity}", GOOD)])


def _table(kept: list[Kept], now: float) -> View:
    """A row for each token."""
    rows = tuple(
        (
            Cell(one.role),
            Cell(one.name),
            Cell(one.state(now), TONES[one.state(now)]),
            Cell(date_text(one.expires)),
            Cell(f"{date_text(one.used)} from {one.used_by}" if one.used is not None else ""),
            Cell(", ".join(one.hosts)),
        )
        for one in kept
    )
    if not rows:
        return [Note("there are no tokens", FAINT)]
    return [Table(("ROLE", "NAME", "STATE", "ACCEPTED UNTIL", "USED", "HOSTS"), rows, essential=4)]


def _document(kept: Kept, now: float) -> Document:
    return {
        "role": str(kept.role),
        "name": kept.name,
        "state": kept.state(now),
        "hosts": list(kept.hosts),
        "made": kept.made,
        "accepted_until": kept.expires,
        "used": kept.used,
        "used_by": kept.used_by,
    }
