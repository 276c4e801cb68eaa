# PYTHON_ARGCOMPLETE_OK
"""The console script: finds the verb, runs it, and turns errors into one sentence and an exit code.

Only the verb's own module is imported, so that every verb starts fast.
"""

from __future__ import annotations

import argparse
import io
import itertools
import os
import sys
from collections.abc import Iterable, Sequence

from zeekfleet.cli import streams
from zeekfleet.cli.messages import Messages
from zeekfleet.cli.purposes import VERBS
from zeekfleet.cli.verbs import find_verb, innermost, make_parser, module_of
from zeekfleet.errors import CommandLineError, ZeekfleetError
from zeekfleet.model.nearest import did_you_mean
from zeekfleet.version import __version__

MISUNDERSTOOD = 2
INTERRUPTED = 130
BROKEN_PIPE = 141

COMPLETION_VARIABLE = "_ARGCOMPLETE"
"""Set by a shell that asks for completions."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    streams.open_missing()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names may have characters that the terminal cannot show
    try:
        if COMPLETION_VARIABLE in os.environ:
            from zeekfleet.cli import completion  # noqa: PLC0415 - needed only when a shell asks for completions

            completion.complete()
        code = _run(given)
        streams.write_out("")
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        streams.abandon(sys.stdout)
        return BROKEN_PIPE
    except OSError as error:
        Messages().error(_sentence(error))
        streams.abandon(sys.stdout)
        return 1
    return code


def _sentence(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}"


def _run(given: Sequence[str]) -> int:
    messages = Messages()
    try:
        args = _parse(given)
        if args.version:
            print(__version__)
            return 0
        if args.command is None:
            messages.error("please provide a command to execute, see zeekfleet --help")
            return 1
        code: int = module_of(args.command).run(args)
    except CommandLineError as error:
        messages.error(f"{error}; see '{_help_on(*error.program.split())}'")
        return MISUNDERSTOOD
    except ZeekfleetError as error:
        messages.error(str(error))
        return 1
    except SystemExit as leaving:  # argparse has printed the help that was asked for
        return leaving.code if isinstance(leaving.code, int) else 0
    return code


def _help_on(program: str, *commands: str) -> str:
    """The command that shows the help of a command, such as ``restart`` or ``pki issue agent``."""
    return f"{program} {' '.join(commands)} --help" if len(commands) > 1 else " ".join((program, "help", *commands))


def _parse(given: Sequence[str]) -> argparse.Namespace:
    """Parse a command line.

    Raises:
        CommandLineError: it cannot be understood. For a misspelt word, the error suggests the nearest known one.
    """
    verb = find_verb(given)
    parser = make_parser(() if verb is None or verb not in VERBS else (verb,), listed=verb is None)
    if verb is not None and verb not in VERBS:
        # If an option is misspelt, this word may be the option's value, and not a verb.
        _refuse_unknown(parser, itertools.takewhile(lambda word: word != verb, given))
        raise CommandLineError(f"unknown command '{verb}'{did_you_mean(verb, VERBS)}", parser.prog)
    args, surplus = parser.parse_known_args(given)
    if surplus:
        own = innermost(parser, given)
        _refuse_unknown(own, surplus)
        raise CommandLineError(f"unexpected argument '{surplus[0]}'", own.prog)
    if verb is not None and not hasattr(args, "verb_set"):
        _refuse_client_options(args, verb)
    return args


def _refuse_unknown(parser: argparse.ArgumentParser, words: Iterable[str]) -> None:
    """Refuse the first word that looks like an option but is neither one nor an abbreviation of one."""
    known = [option for action in parser._actions for option in action.option_strings]
    for word in words:
        option = word.partition("=")[0]
        if option.startswith("--") and not any(one.startswith(option) for one in known):
            raise CommandLineError(f"unknown option '{option}'{did_you_mean(option, known)}", parser.prog)
        if option.startswith("-") and option[:2] not in (*known, "--"):
            raise CommandLineError(f"unknown option '{option}'", parser.prog)


def _refuse_client_options(args: argparse.Namespace, verb: str) -> None:
    """Refuse options before the verb if the verb does not talk to a controller: they are only for that.

    A verb that accepts some of them all the same names these in the default ``client_options`` of its parser.
    """
    given = {
        "--configfile": args.configfile,
        "--controller": args.controller,
        "--set": args.set,
        "--quiet": args.quiet,
        "--verbose": args.verbose,
        "--json": args.json,
    }
    taken: tuple[str, ...] = getattr(args, "client_options", ())
    for option in (option for option, value in given.items() if value and option not in taken):
        problem = f"{option} before '{verb}' does not apply: it is for commands that talk to a controller"
        raise CommandLineError(problem, f"zeekfleet {verb}")
