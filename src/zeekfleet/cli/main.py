"""The console script: finds the verb, runs it, and turns errors into one sentence and an exit code.

Only the verb's own module is imported, so that every verb feels instant.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from zeekfleet import __version__
from zeekfleet.cli.messages import Messages
from zeekfleet.cli.options import GLOBAL_VALUE_OPTIONS, HelpFormatter, add_global_options
from zeekfleet.errors import ZeekfleetError

VERBS = {
    "up": "Run supervisor, controller and an agent, and deploy a configuration.",
    "controller": "Run a controller.",
    "agent": "Run an agent with its supervisor.",
    "supervise": "Run a set of processes from a file, and nothing else.",
    "check": "Check a cluster configuration without deploying it.",
    "deploy": "Deploy a staged cluster configuration.",
    "deploy-config": "Upload a cluster configuration and deploy it.",
    "get-config": "Retrieve staged or deployed cluster configuration.",
    "get-id-value": "Show the value of a global identifier in Zeek cluster nodes.",
    "get-instances": "Show instances connected to the controller.",
    "get-nodes": "Show active Zeek nodes at each instance.",
    "monitor": "For troubleshooting: do nothing, just report events.",
    "net-stats": "Show how many packets Zeek cluster nodes have seen and lost.",
    "peer-stats": "Show which other nodes Zeek cluster nodes are connected to.",
    "restart": "Restart cluster nodes.",
    "set-option": "Change an option of Zeek's configuration framework in running nodes.",
    "stage-config": "Upload a cluster configuration for later deployment.",
    "show-settings": "Show the settings in force.",
    "status": "Show the cluster nodes with their histories.",
    "diag": "Show the last crash report of a cluster node.",
    "test-timeout": "Have the controller let a request time out.",
}
"""Each verb and what it does; its module has the same name, with underscores."""

INTERRUPTED = 130
BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names are anyone's, terminals too
    try:
        code = _run(given)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _abandon_stdout()
        return BROKEN_PIPE
    except OSError as error:
        Messages(quiet=bool({"-q", "--quiet"} & set(given))).error(_sentence(error))
        _abandon_stdout()
        return 1
    return code


def _sentence(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}"


def _abandon_stdout() -> None:
    """Let Python's own last flush succeed, whatever became of standard output."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
    except (OSError, ValueError):
        return  # there is no real standard output to flush
    os.close(null)


def _run(given: Sequence[str]) -> int:
    verb = find_verb(given)
    module = _module(verb) if verb in VERBS else None
    args = _parser(module).parse_args(given)
    messages = Messages(quiet=args.quiet or getattr(args, "verb_quiet", False))
    if args.version:
        print(__version__)
        return 0
    if module is None:
        messages.error("please provide a command to execute, see zeekfleet --help")
        return 1
    try:
        code: int = module.run(args)
    except ZeekfleetError as error:
        messages.error(str(error))
        return 1
    return code


def find_verb(arguments: Sequence[str]) -> str | None:
    """The first word that is neither an option nor an option's value."""
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            return word
        if _takes_next(word):
            next(words, None)
    return None


def _takes_next(word: str) -> bool:
    if word.startswith("--"):
        return len(word) > 2 and any(option.startswith(word) for option in GLOBAL_VALUE_OPTIONS)
    return word.startswith("-") and word.endswith("c") and set(word[1:-1]) <= {"q", "v"}


def _module(verb: str) -> ModuleType:
    return importlib.import_module(f"zeekfleet.cli.{verb.replace('-', '_')}")


def _parser(module: ModuleType | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zeekfleet",
        formatter_class=HelpFormatter,
        description="Cluster management for Zeek.",
        epilog="environment variables:\n\n"
        "    ZEEK_CLIENT_CONFIG_FILE:      same as --configfile, but weaker\n"
        "    ZEEK_CLIENT_CONFIG_SETTINGS:  same as a series of --set, separated by spaces, but weaker\n",
    )
    add_global_options(parser)
    verbs = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", help="See 'zeekfleet COMMAND --help' for each."
    )
    if module is not None:
        module.add_parser(verbs)
    else:
        for name, purpose in VERBS.items():
            verbs.add_parser(name, help=purpose)
    return parser
