"""Manual pages, made from the parsers: ``zeekfleet.1``, and ``zeekfleet-VERB.1`` for each verb.

The pages are in the ``man`` macros that groff and mandoc read (man(7)).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator

from zeekfleet.cli import exit_codes
from zeekfleet.cli.purposes import VERBS
from zeekfleet.cli.verbs import leaves, make_parser, subparsers_of
from zeekfleet.version import __version__


def pages() -> dict[str, str]:
    """All pages by the names of their files."""
    whole = make_parser(VERBS)
    parsers = subparsers_of(whole)
    made = {"zeekfleet.1": _main_page(whole)}
    for verb, purpose in VERBS.items():
        made[f"zeekfleet-{verb}.1"] = _page(parsers[verb], f"zeekfleet-{verb}", purpose)
    return made


def _page(parser: argparse.ArgumentParser, name: str, purpose: str) -> str:
    lines = [*_head(name, purpose), *_synopsis(parser), ".SH DESCRIPTION", escape(parser.description or purpose)]
    lines += [
        *_options(parser),
        *(line for below in leaves(parser) for line in _command(below)),
        *_exit_status(name.removeprefix("zeekfleet-")),
        ".SH SEE ALSO",
        rf".BR {escape('zeekfleet')} (1)",
    ]
    return "\n".join(lines) + "\n"


def _main_page(parser: argparse.ArgumentParser) -> str:
    purpose = "cluster management for Zeek"
    lines = [*_head("zeekfleet", purpose), *_synopsis(parser), ".SH DESCRIPTION"]
    lines.append(escape("A supervisor, agents and a controller run a Zeek cluster over one host or many."))
    lines.append(escape("It speaks what Zeek's Management framework speaks, so that zeek-client works with it."))
    lines.append(".SH COMMANDS")
    for verb, what in VERBS.items():
        lines += [".TP", rf".BR zeekfleet\-{escape(verb)} (1)", escape(what)]
    lines += [*_options(parser), ".SH ENVIRONMENT"]
    for variable, what in (
        ("ZEEK_CLIENT_CONFIG_FILE", "The same as --configfile, but weaker."),
        ("ZEEK_CLIENT_CONFIG_SETTINGS", "The same as a series of --set, separated by spaces, but weaker."),
    ):
        lines += [".TP", f".B {escape(variable)}", escape(what)]
    lines += _exit_status("zeekfleet")
    lines += [".SH SEE ALSO", *(rf".BR zeekfleet\-{escape(verb)} (1)" for verb in VERBS)]
    return "\n".join(lines) + "\n"


def _command(parser: argparse.ArgumentParser) -> Iterator[str]:
    """A section about a command of a verb."""
    yield f'.SH "{escape(parser.prog.upper())}"'
    yield from _synopsis(parser)[1:]
    yield from (".PP", escape(parser.description or ""))
    yield from _arguments(parser, [action for group in parser._action_groups for action in _shown(group)])


def _head(name: str, purpose: str) -> list[str]:
    first, rest = purpose[:1].lower(), purpose[1:].rstrip(".")
    title = f'.TH "{escape(name.upper())}" 1 "" "zeekfleet {escape(__version__)}" "User Commands"'
    return [title, ".SH NAME", rf"{escape(name)} \- {escape(first + rest)}"]


def _synopsis(parser: argparse.ArgumentParser) -> list[str]:
    usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
    return [".SH SYNOPSIS", ".ad l", ".nh", escape(usage), ".hy", ".ad b"]


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """A section with all arguments, which has a part for each group."""
    groups = [(group.title or "options", list(_shown(group))) for group in parser._action_groups]
    filled = [(title, actions) for title, actions in groups if actions]
    if filled:
        yield ".SH OPTIONS"
    for title, actions in filled:
        if len(filled) > 1:
            yield f'.SS "{escape(title[:1].upper() + title[1:])}"'
        yield from _arguments(parser, actions)


def _arguments(parser: argparse.ArgumentParser, actions: Iterable[argparse.Action]) -> Iterator[str]:
    for action in actions:
        yield ".TP"
        yield from _term(parser, action)
        yield escape(parser._get_formatter()._expand_help(action)) if action.help else r"\&"


def _shown(group: argparse._ArgumentGroup) -> Iterator[argparse.Action]:
    for action in group._group_actions:
        if action.help is not argparse.SUPPRESS and not isinstance(action, argparse._SubParsersAction):
            yield action


def _term(parser: argparse.ArgumentParser, action: argparse.Action) -> Iterator[str]:
    """``-c FILE, --configfile FILE``, or an argument's name."""
    formatter = parser._get_formatter()
    if not action.option_strings:
        yield rf".I {escape(formatter._format_args(action, action.dest))}"
        return
    argument = "" if action.nargs == 0 else formatter._format_args(action, action.dest.upper())
    terms = [
        rf"\fB{escape(option)}\fR" + (rf" \fI{escape(argument)}\fR" if argument else "")
        for option in action.option_strings
    ]
    yield ", ".join(terms)


def _exit_status(verb: str) -> Iterator[str]:
    yield ".SH EXIT STATUS"
    for code, what in exit_codes.of(verb).items():
        yield from (".TP", f".B {code}", escape(what))


def escape(text: str) -> str:
    """Text for roff, on one line; hyphens stay hyphens, and nothing is read as a request or an escape."""
    flat = " ".join(text.split()).replace("\\", r"\e").replace("-", r"\-")
    flat = (
        flat.replace('"', r"\(dq")
        .replace("'", r"\(aq")
        .replace("`", r"\(ga")
        .replace("^", r"\(ha")
        .replace("~", r"\(ti")
    )
    return rf"\&{flat}" if flat.startswith(".") else flat
