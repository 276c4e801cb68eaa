"""``zeekfleet pki``: certificates for agents, controllers and clients, from an authority of our own."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from zeekfleet.cli.daemon_options import add_options, resolve_options
from zeekfleet.cli.messages import Messages
from zeekfleet.cli.options import HelpFormatter, Subparsers
from zeekfleet.cli.purposes import VERBS
from zeekfleet.cli.showing import Output
from zeekfleet.client.results import Document
from zeekfleet.client.views import BAD, BUSY, FAINT, GOOD, Cell, Note, Table, View
from zeekfleet.errors import PkiError
from zeekfleet.model.defaults import THIS_HOST
from zeekfleet.model.names import AUTHORITY_KEY, PKI
from zeekfleet.pki.hosts import parse_host, parse_range
from zeekfleet.pki.records import AUTHORITY_DAYS, DAYS, LIFE, Issued, find
from zeekfleet.security.certificates import date_text
from zeekfleet.security.identity import CLIENT_ROLES, Identity, PeerRole
from zeekfleet.settings import Settings, hostname
from zeekfleet.system.exposure import private_file_problem
from zeekfleet.system.files import make_private_directory

if TYPE_CHECKING:
    from zeekfleet.pki.directory import PkiDirectory
    from zeekfleet.pki.handout import Handout

# The other modules of ``pki`` are imported by the functions that need them. Their library takes long to import, and a
# user who only asks for help should not wait for it.

SOON = 30 * 86400.0
"""A certificate that ends within so many seconds is shown as ``ends soon``."""

TONES = {"valid": GOOD, "revoked": BAD, "expired": FAINT, "not valid yet": BUSY}
PASSPHRASE_MAX = 4096


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "pki",
        help=VERBS["pki"],
        description="Make an authority, and certificates of it by which agents, controllers and clients know each other"
        " across hosts. The authority is a directory on one host; nothing here uses the network.",
        formatter_class=HelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    _add_init(actions)
    _add_issue(actions)
    _add_renew(actions)
    _add_revoke(actions)
    _add_list(actions)
    parser.set_defaults(run=run, client_options=("--quiet", "--json"))


def _add_init(actions: Subparsers) -> None:
    parser = _add_action(actions, "init", "Make an authority, with an empty list of revoked certificates.")
    parser.add_argument(
        "--days",
        metavar="NUMBER",
        type=_days,
        default=AUTHORITY_DAYS,
        help=f"Days it is valid (default: {AUTHORITY_DAYS}).",
    )
    parser.add_argument(
        "--permit",
        metavar="DOMAIN_OR_NETWORK",
        action="append",
        default=[],
        help="Restrict the authority to hosts of this domain or network, and to loopback. Can use repeatedly.",
    )
    parser.add_argument("--force", action="store_true", help="Set an authority that is there aside, and make another.")
    _add_place(parser)


def _add_issue(actions: Subparsers) -> None:
    about = "Make a key and a certificate. Earlier certificates of the same owner stay valid."
    issue = actions.add_parser("issue", help=about, description=about, formatter_class=HelpFormatter)
    roles = issue.add_subparsers(title="owners", dest="role", metavar="ROLE", required=True)
    agent = _add_action(roles, "agent", "Make a key and a certificate for an agent.")
    agent.add_argument("name", metavar="NAME", help="The agent's name.")
    controller = _add_action(roles, "controller", "Make a key and a certificate for a controller.")
    controller.add_argument(
        "name", metavar="NAME", nargs="?", help="The controller's name (default: the one of its settings)."
    )
    client = _add_action(roles, "client", "Make a key and a certificate for zeek-client or the commands of zeekfleet.")
    client.add_argument("name", metavar="NAME", help="The client's name.")
    client.add_argument(
        "--role",
        dest="client_role",
        choices=[str(role) for role in CLIENT_ROLES],
        default="viewer",
        help="What the client is (default: viewer).",
    )
    client.add_argument(
        "--passphrase-file", metavar="FILE", type=Path, help="Encrypt the key with the first line of this file."
    )
    reached = "Name or address by which others reach it. Can use repeatedly"
    agent.add_argument(
        "--host", metavar="HOST", action="append", default=[], help=f"{reached}; needed if the controller connects."
    )
    controller.add_argument(
        "--host",
        metavar="HOST",
        action="append",
        default=[],
        help=f"{reached}; loopback is always one (default: this host's name).",
    )
    for parser in (agent, controller, client):
        parser.add_argument(
            "--days", metavar="NUMBER", type=_days, default=DAYS, help=f"Days it is valid (default: {DAYS})."
        )
        parser.add_argument("--out", metavar="DIR", type=Path, help="Write the files there, not beside the authority.")
        parser.add_argument("--force", action="store_true", help="Replace a key and a certificate that are there.")
        _add_place(parser)


def _add_renew(actions: Subparsers) -> None:
    parser = _add_action(actions, "renew", "Make another certificate for the same owner, hosts and key.")
    parser.add_argument(
        "what",
        metavar="NAME|FILE",
        help="A name, a role and name such as agent/NAME, or a certificate's file, which is replaced.",
    )
    parser.add_argument(
        "--days", metavar="NUMBER", type=_days, help="Days it is valid (default: as long as the former one)."
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="Write the certificate there.")
    _add_place(parser)


def _add_revoke(actions: Subparsers) -> None:
    about = "Revoke certificates, and write the list of revoked ones."
    parser = _add_action(actions, "revoke", about)
    parser.add_argument(
        "what",
        metavar="NAME|SERIAL",
        help="A name, or a role and name such as agent/NAME, for all its certificates; or a serial number for one.",
    )
    _add_place(parser)


def _add_list(actions: Subparsers) -> None:
    parser = _add_action(actions, "list", "Show the authority and the certificates that it issued.")
    parser.add_argument("--json", action="store_true", dest="list_json", help="Print JSON instead of tables.")
    _add_place(parser)


def _add_action(actions: Subparsers, name: str, about: str) -> argparse.ArgumentParser:
    return actions.add_parser(name, help=about, description=about, formatter_class=HelpFormatter)


def _add_place(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the authority is. They come after all other arguments in the help."""
    parser.add_argument(
        "--directory", metavar="DIR", type=Path, help="The authority's directory (default: STATE_DIR/pki)."
    )
    add_options(parser, ("common", "controller"), only=("common.state_dir",))


def _days(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 10 and int(text) in LIFE:
        return int(text)
    raise argparse.ArgumentTypeError(f"'{text}' is wrong: expected a whole number, {LIFE}")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    settings = resolve_options(args).settings
    directory: Path = args.directory or Path(settings.common.state_dir) / PKI
    messages = Messages(quiet=args.quiet)
    match args.action:
        case "init":
            view = _init(directory, args)
        case "issue":
            view = _issue(directory, args, settings, messages)
        case "renew":
            view = _renew(directory, args)
        case "revoke":
            view = _revoke(directory, args)
        case _:
            return _list(directory, as_json=args.json or args.list_json)
    Output(as_json=False).show({}, lambda: view)
    return 0


def _init(directory: Path, args: argparse.Namespace) -> View:
    from zeekfleet.pki.directory import PkiDirectory  # noqa: PLC0415

    pki = PkiDirectory.create(directory, args.days, tuple(map(parse_range, args.permit)), replace=args.force)
    return [
        _about_authority(pki),
        Note(
            f"whoever has {directory / AUTHORITY_KEY} can make any certificate: keep it secret, and a copy of it safe",
            FAINT,
        ),
    ]


def _issue(directory: Path, args: argparse.Namespace, settings: Settings, messages: Messages) -> View:
    from zeekfleet.pki import building, reading  # noqa: PLC0415
    from zeekfleet.pki.directory import PkiDirectory  # noqa: PLC0415
    from zeekfleet.pki.handout import Handout  # noqa: PLC0415

    role = PeerRole(args.client_role if args.role == "client" else args.role)
    hosts = [parse_host(host) for host in getattr(args, "host", ())]
    if role is PeerRole.CONTROLLER:
        hosts = [*(hosts or [parse_host(hostname())]), *THIS_HOST]
    passphrase = ""
    if given := getattr(args, "passphrase_file", None):
        passphrase = _passphrase(given)
    pki = PkiDirectory(directory)
    identity = Identity(role, settings.controller.name if args.name is None else args.name)
    earlier = [one for one in pki.issued() if one.identity == identity and one.counts(time.time())]
    handout = Handout(args.out or pki.certificates, identity)
    key = building.make_key()
    key_text = reading.key_pem(key, passphrase)
    pki.check(identity, hosts)
    handout.prepare(reading.certificate_pem(pki.certificate), replace=args.force)
    issued = pki.issue(identity, hosts, key.public_key(), args.days)
    handout.write_key(key_text, replace=args.force)
    handout.write_certificate(issued)
    for one in earlier:
        messages.note(f"an earlier certificate stays valid {_until(one)}; to end it: zeekfleet pki revoke {one.serial}")
    return [_told("issued", issued), _files(handout)]


def _renew(directory: Path, args: argparse.Namespace) -> View:
    from zeekfleet.pki import handout, reading  # noqa: PLC0415
    from zeekfleet.pki.directory import PkiDirectory, read_file  # noqa: PLC0415

    pki = PkiDirectory(directory)
    file = Path(args.what)
    if file.is_file():
        content = read_file(file)
    else:
        live = _live(pki, args.what)
        file = handout.Handout(pki.certificates, live[-1].identity).certificate
        content = live[-1].certificate.encode()
        if args.out is None and file.exists():
            content = read_file(file)
            if reading.serial_of(reading.read_certificate(content, str(file))) not in {one.serial for one in live}:
                raise PkiError(f"{file} is not one of the certificates that count: name the file, or use --out")
    issued = pki.renew(reading.read_certificate(content, str(file)), args.days)
    renewed = issued.certificate.encode()
    if args.out is None:
        renewed = reading.with_certificate(content, renewed)
    else:
        file = handout.Handout(args.out, issued.identity).certificate
    make_private_directory(file.parent)
    handout.replace_file(file, renewed)
    return [_told("renewed", issued), Note(f"certificate  {file}", FAINT)]


def _live(pki: PkiDirectory, text: str) -> list[Issued]:
    """The certificates of a name that were not revoked, in the order in which they were made."""
    found = [one for one in find(pki.issued(), text) if one.revoked is None]
    if not found:
        raise PkiError(f"all certificates of '{text}' were revoked: issue another with a new key")
    return found


def _revoke(directory: Path, args: argparse.Namespace) -> View:
    from zeekfleet.pki.directory import PkiDirectory  # noqa: PLC0415

    pki = PkiDirectory(directory)
    found = find(pki.issued(), args.what)
    # A serial number means one certificate, even if it has expired or was revoked. A name means all that are valid.
    meant = [one for one in found if one.counts(time.time())] or found[-1:]
    told = []
    for before, after in zip(meant, pki.revoke(meant), strict=True):
        since = "" if before.revoked is None else f" (since {date_text(before.revoked)})"
        told.append(Note(f"revoked {after.identity}, serial {after.serial}{since}", GOOD))
    return [*told, Note(f"list of revoked certificates  {pki.revocation_list}", FAINT)]


def _list(directory: Path, *, as_json: bool) -> int:
    from zeekfleet.pki.directory import PkiDirectory  # noqa: PLC0415

    pki = PkiDirectory(directory)
    records = pki.issued()
    Output(as_json=as_json).show(_document(pki, records), lambda: [*_table(records), _about_authority(pki)])
    return 0


def _passphrase(file: Path) -> str:
    """Read the first line of a file that only our user can read."""
    try:
        if problem := private_file_problem(file):
            raise PkiError(problem)
        with file.open("rb") as stream:
            line = stream.read(PASSPHRASE_MAX).partition(b"\n")[0].removesuffix(b"\r")
        passphrase = line.decode()
    except OSError as error:
        raise PkiError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PkiError(f"{file} is not UTF-8 text") from None
    if not passphrase:
        raise PkiError(f"{file} begins with an empty line: expected a passphrase")
    return passphrase


def _told(what: str, issued: Issued) -> Note:
    return Note(f"{what} {issued.identity}, serial {issued.serial}, valid {_until(issued)}", GOOD)


def _until(issued: Issued) -> str:
    return f"until {date_text(issued.end)}"


def _files(handout: Handout) -> Note:
    return Note(
        f"certificate  {handout.certificate}\nprivate key  {handout.key}\nauthority    {handout.authority}", FAINT
    )


def _about_authority(pki: PkiDirectory) -> Note:
    from zeekfleet.pki import reading  # noqa: PLC0415

    permitted = reading.permitted_of(pki.certificate)
    scope = f"\nfor hosts    {', '.join(permitted)}" if permitted else ""
    return Note(
        f"authority    {pki.path}, valid until {date_text(pki.validity.end)}\n"
        f"fingerprint  {reading.fingerprint(pki.certificate)}{scope}"
    )


def _table(records: list[Issued]) -> View:
    """A row for each certificate."""
    now = time.time()
    rows = tuple(
        (
            Cell(one.role),
            Cell(one.name),
            _state(one, now),
            Cell(date_text(one.end)),
            Cell(one.serial),
            Cell(", ".join(one.hosts)),
        )
        for one in records
    )
    return [Table(("ROLE", "NAME", "STATE", "VALID UNTIL", "SERIAL", "HOSTS"), rows, essential=5)] if rows else []


def _state(issued: Issued, now: float) -> Cell:
    state = issued.state(now)
    if state == "valid" and issued.end - now < SOON:
        return Cell("valid, ends soon", BUSY)
    return Cell(state, TONES[state])


def _document(pki: PkiDirectory, records: list[Issued]) -> Document:
    from zeekfleet.pki import reading  # noqa: PLC0415

    now = time.time()
    return {
        "authority": {
            "directory": str(pki.path),
            "fingerprint": reading.fingerprint(pki.certificate),
            "valid_from": pki.validity.begin,
            "valid_until": pki.validity.end,
            "permitted": list(reading.permitted_of(pki.certificate)),
        },
        "certificates": [
            {
                "role": str(one.role),
                "name": one.name,
                "serial": one.serial,
                "hosts": list(one.hosts),
                "valid_from": one.begin,
                "valid_until": one.end,
                "revoked": one.revoked,
                "state": one.state(now),
            }
            for one in records
        ],
    }
