"""Generates pages of ``docs/reference/`` from declarations: settings, INI keys, commands, and permissions."""

from __future__ import annotations

import argparse
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping

from zeekfleet.cli import exit_codes
from zeekfleet.cli.daemon_options import PREFIX, SECTIONS
from zeekfleet.cli.option_groups import default, grouped
from zeekfleet.cli.options import add_global_options
from zeekfleet.cli.purposes import VERBS
from zeekfleet.cli.verbs import leaves, make_parser, subparsers_of
from zeekfleet.client.settings import DEFAULTS as CLIENT_DEFAULTS
from zeekfleet.planning import ini, node_settings
from zeekfleet.resolution import Declaration, declarations
from zeekfleet.security.permissions import CLIENTS, TABLE, Place, Role
from zeekfleet.settings import Settings

Row = tuple[str, ...]

DEFAULTS = {
    "common.state_dir": "`$STATE_DIRECTORY` of a systemd service; else `/var/lib/zeekfleet` for root,"
    " `~/.local/state/zeekfleet/lib` for others",
    "common.spool_dir": "`$STATE_DIRECTORY/spool` of a systemd service; else `/var/spool/zeekfleet` for root,"
    " `~/.local/state/zeekfleet/spool` for others",
    "controller.name": "`controller-HOSTNAME`",
    "agent.name": "`agent-HOSTNAME`",
}
"""Defaults that depend on the host or the user, by key."""

OF_NODES_ONLY = {
    "cpus": "the CPUs that the node is bound to",
    "cgroup": "give the node a control group of its own",
}
"""The meanings of those keys of a node for which there is no setting for all nodes."""

MADE = "<!-- Written by `make reference`. Change the declarations in the code, and run it again. -->\n"

ABOUT_SETTINGS = """\
Every setting can be given in four ways. The first one in this list wins:

1. a command line option,
2. an environment variable,
3. a key in the TOML file that `--settings FILE` names, in the table of its section,
4. the default.

`zeekfleet show-settings DAEMON` prints each setting with its value and its origin. A relative path begins in
the current directory; in a settings file it begins beside that file.

In `zeekfleet up` the controller and the agent meet. Options that both have begin with the role's name there: these
are the names in brackets. The plain `--port`, `--listen` and `--tls-…` are the controller's.
"""

ABOUT_CLIENTS = """\
The commands that talk to a controller read zeek-client's configuration file, an INI file. From weak to strong: the
defaults, the file (`/etc/zeek-client.cfg`, or the one of `-c FILE` or the variable `ZEEK_CLIENT_CONFIG_FILE`),
assignments `SECTION.KEY=VALUE` in the variable `ZEEK_CLIENT_CONFIG_SETTINGS`, the same with `--set`, and the options
`--controller` and `-v`. `zeekfleet show-settings --origin` prints each setting with its origin.
"""

OF_CLIENTS = {
    "client.request_timeout_secs": "seconds to wait for an answer",
    "client.peering_attempts": "how often to try to connect",
    "client.peering_retry_delay_secs": "seconds that an attempt may take, and seconds between two attempts",
    "client.rich_logging_format": "begin messages on standard error with the time",
    "client.pretty_json": "indent JSON",
    "client.verbosity": "how much is written to standard error; each `-v` adds one",
    "controller.host": "the controller's address or name",
    "controller.port": "the controller's port for clients",
    "ssl.enable": "encrypt the connection",
    "ssl.certificate": "PEM file with the client's certificate",
    "ssl.keyfile": "PEM file with its private key",
    "ssl.cafile": "PEM file with the authorities of the controller's certificate; without it the system's",
    "ssl.capath": "directory with such files",
    "ssl.passphrase": "passphrase of the private key",
}
"""Meanings of the client's settings, by section and key."""

ABOUT_FILES = """\
An INI file, the same as zeek-client's: a section `[instances]`, and a section for each node, which has the node's
name. [Write a configuration](../how-to/write-a-configuration.md) shows how to use it.
"""

ABOUT_INSTANCES = """\
Without this section the instances are those that the nodes name. If the nodes name none, the section must be absent.
"""

ABOUT_DEFAULTS = """\
Its keys are those of a node. They count for every node that does not set them itself. `%(key)s` stands for the value
of another key, and `%%` for a percent sign.
"""

ABOUT_NODE_SETTINGS = """\
These keys override the daemon's [settings](settings.md) for all nodes. Each stands for a variable in the node's
`env`, so zeek-client can set it there, too.
"""

ABOUT_COMMANDS = """\
`zeekfleet help COMMAND` shows the same for one command; `make man` writes manual pages. What NODES may be is explained
in [See what runs](../how-to/see-what-runs.md#naming-nodes).
"""

ABOUT_PERMISSIONS = """\
Every event of the [protocol](../protocol.md), on which topic it is published, and who may say and hear it there.
[Security](../explanation/security.md) tells who has which role. An agent speaks for itself only, on its own topic, and
a node for itself. An operator has nodes run the actions that are known to read or to set an option; other actions need
an admin. Events that are not in the table come from another release: they are passed on to nobody.

"a client" stands for viewers, operators and admins.
"""

ABOUT_CODES = """\
The section of a command lists only codes that mean something else there.
"""


def pages() -> dict[str, str]:
    """All pages by the names of their files."""
    return {
        "settings.md": "\n".join(_settings()),
        "cluster-configuration.md": "\n".join(_cluster_configuration()),
        "commands.md": "\n".join(_commands()),
        "permissions.md": "\n".join(_permissions()),
    }


def _settings() -> Iterator[str]:
    yield from ("# Settings\n", MADE, ABOUT_SETTINGS)
    daemons = ((f"`zeekfleet {daemon}`", _named(sections)) for daemon, sections in SECTIONS.items())
    yield from _table(("daemon", "its sections"), daemons)
    defaults = Settings()
    for section in Settings.__struct_fields__:
        yield f"## [{section}]\n"
        for title, settings in grouped(declarations((section,))):
            yield f"### {title[:1].upper()}{title[1:]}\n"
            rows = (_setting(one, defaults) for one in settings)
            yield from _table(("key", "option", "variable", "value", "default", "meaning"), rows)
    yield from ("## Settings of clients\n", ABOUT_CLIENTS)
    of_clients = [
        (f"`[{section}]`", f"`{key}`", f"`{usual}`" if usual else "", OF_CLIENTS[f"{section}.{key}"])
        for section, keys in CLIENT_DEFAULTS.items()
        for key, usual in keys.items()
    ]
    yield from _table(("section", "key", "default", "meaning"), of_clients)


def _setting(setting: Declaration, defaults: Settings) -> Row:
    alone, together = setting.options((setting.section,))[0], setting.option
    option = f"`{alone}`" if alone == together else f"`{alone}` (`{together}`)"
    text = default(setting, defaults)
    usual = DEFAULTS.get(setting.key) or (f"`{text}`" if text else "")
    return f"`{setting.name}`", option, f"`{setting.variable}`", _values(setting), usual, _plain(setting.setting.help)


def _values(setting: Declaration) -> str:
    """The values that the setting may have."""
    if setting.type is bool:
        return "yes, no"
    if typing.get_origin(setting.type) is typing.Literal:
        return ", ".join(f"`{value}`" for value in typing.get_args(setting.type))
    if setting.setting.within is not None:
        return setting.setting.expected
    return {"path": "a path", "command": "a command", "host": "an address"}.get(setting.setting.names, "a text")


def _cluster_configuration() -> Iterator[str]:
    yield from ("# The cluster configuration file\n", MADE, ABOUT_FILES, "## [instances]\n")
    instances = [
        ("`NAME`", "the agent of this name connects to the controller"),
        ("`NAME = ADDRESS:PORT`", "the controller connects to the agent there; an IPv6 address stands in brackets"),
    ]
    yield from _table(("line", "meaning"), instances)
    yield from (ABOUT_INSTANCES, "## [DEFAULT]\n", ABOUT_DEFAULTS, "## A node\n")
    keys = ((f"`{key}`", meant.values, meant.meaning) for key, meant in ini.NODE_KEYS.items())
    yield from _table(("key", "value", "meaning"), keys)
    yield from ("### Instead of the settings for all nodes\n", ABOUT_NODE_SETTINGS)
    meanings = {one.name: one.setting.help for one in declarations(("supervisor",))} | OF_NODES_ONLY
    own = (
        (f"`{key}`", f"`{node_settings.variable(key)}`", _expected(reader), _plain(meanings[key]))
        for key, (_, _, reader) in node_settings.KEYS.items()
    )
    yield from _table(("key", "variable", "value", "meaning"), own)


def _expected(reader: Callable[[str], object]) -> str:
    """The values that a reader accepts, in the words of its own error."""
    try:
        reader("?")
    except ValueError as error:
        return str(error)
    return "a text"


def _commands() -> Iterator[str]:
    yield from ("# Commands\n", MADE, ABOUT_COMMANDS)
    yield from _table(("command", "what it does"), ((f"[{verb}](#{verb})", what) for verb, what in VERBS.items()))
    yield "## Exit codes\n"
    yield from _table(("code", "meaning"), _codes(exit_codes.COMMON))
    yield from (ABOUT_CODES, "## Options of all commands that talk to a controller\n")
    common = argparse.ArgumentParser(add_help=False)
    add_global_options(common)
    yield from _table(("option", "meaning"), _arguments(common, common._actions))
    parsers = subparsers_of(make_parser(VERBS))
    shared = {"-h", *(option for action in common._actions for option in action.option_strings)}
    for verb, what in VERBS.items():
        yield from _command(parsers[verb], verb, what, shared)


def _command(parser: argparse.ArgumentParser, verb: str, what: str, shared: set[str]) -> Iterator[str]:
    yield from (f"## {verb}\n", f"{parser.description or what}\n")
    below = list(leaves(parser))
    if not below:
        yield from _usage(parser, shared)
    for each in below:
        yield from (f"### {each.prog.removeprefix('zeekfleet ')}\n", f"{each.description}\n")
        yield from _usage(each, shared)
    exact = {code: what for code, what in exit_codes.of(verb).items() if exit_codes.COMMON.get(code) != what}
    yield from _table(("exit code", "meaning"), _codes(exact))


def _usage(parser: argparse.ArgumentParser, shared: set[str]) -> Iterator[str]:
    """A command's usage, and a table of its arguments."""
    if not any(action.dest == "verb_set" for action in parser._actions):
        shared = {"-h"}  # it talks to no controller
    own = [
        action
        for action in parser._actions
        if not shared & set(action.option_strings) and not action.dest.startswith(PREFIX)
    ]
    words = (parser.prog, "[OPTIONS]", *(_term(parser, action) for action in own if not action.option_strings))
    yield f"    {' '.join(words)}\n"
    yield from _table(("argument", "meaning"), _arguments(parser, own))
    if settings := [action for action in parser._actions if action.dest.startswith(PREFIX)]:
        sections = parser.get_default("setting_sections")
        are_all = len(settings) == len(list(declarations(sections)))
        which = f"of {_named(sections)}" if are_all else ", ".join(f"`{one.option_strings[0]}`" for one in settings)
        yield f"Further options are the [settings](settings.md) {which}.\n"


def _permissions() -> Iterator[str]:
    yield from ("# Who may say and hear what\n", MADE, ABOUT_PERMISSIONS)
    for place in Place:
        rows = {event: row for event, row in TABLE.items() if row.place is place}
        yield f"## {'Any topic' if place is Place.ANY else f'`{place.value}`'}\n"
        yield from _table(
            ("event", "may say it", "may hear it"),
            ((f"`{event.event_name}`", _who(row.say), _who(row.hear)) for event, row in rows.items()),
        )


def _who(roles: frozenset[Role]) -> str:
    clients = roles & set(CLIENTS)
    names = ["a client"] if len(clients) == len(CLIENTS) else [role for role in CLIENTS if role in clients]
    return ", ".join([*names, *(role for role in Role if role in roles - clients)])


def _named(sections: Iterable[str]) -> str:
    return ", ".join(f"`[{section}]`" for section in sections)


def _codes(codes: Mapping[int, str]) -> Iterator[Row]:
    return ((str(code), meaning) for code, meaning in codes.items())


def _arguments(parser: argparse.ArgumentParser, actions: Iterable[argparse.Action]) -> Iterator[Row]:
    formatter = parser._get_formatter()
    for action in actions:
        if action.help is not None and action.help is not argparse.SUPPRESS:
            yield f"`{_term(parser, action)}`", _plain(formatter._expand_help(action))


def _term(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """``-c, --configfile FILE``, or an argument's name."""
    formatter = parser._get_formatter()
    if not action.option_strings:
        return formatter._format_args(action, action.dest)
    argument = "" if action.nargs == 0 else f" {formatter._format_args(action, action.dest.upper())}"
    return f"{', '.join(action.option_strings)}{argument}"


def _plain(text: str) -> str:
    """The text with its angle brackets escaped, so that Markdown does not take them for HTML."""
    return text.replace("<", "&lt;")


def _table(head: Row, rows: Iterable[Row]) -> Iterator[str]:
    """A table, with an empty line below it; nothing if it has no row."""
    lines = [f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows]
    if lines:
        yield from (f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *lines, "")
