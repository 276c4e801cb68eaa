"""Shared by the verbs that take a cluster configuration file: its arguments, reading it, and its warnings."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from zeekfleet.cli.messages import Messages
from zeekfleet.client.config_file import LARGEST, parse, parse_file, unreadable
from zeekfleet.errors import ConfigurationError
from zeekfleet.model.management import Configuration
from zeekfleet.planning.review import missing_logs, review

STANDARD_INPUT = "-"


def add_file(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name the file and say how to read it."""
    parser.add_argument("config", metavar="FILE", help='Cluster configuration file, "-" for stdin.')
    parser.add_argument(
        "--instance", metavar="NAME", default="", help="Instance of nodes that name none (default: agent-HOSTNAME)."
    )
    parser.add_argument("--lax", action="store_true", help="Only warn of unknown keys in FILE.")


def add_allow_empty(parser: argparse.ArgumentParser) -> None:
    """Add the option that is required for a configuration without nodes, because deploying it stops all nodes."""
    parser.add_argument("--allow-empty", action="store_true", help="Accept a configuration without nodes.")


def read_cluster_file(
    path: str, messages: Messages, *, instance: str = "", lax: bool = False, allow_empty: bool = False
) -> Configuration:
    """Read the configuration in a file, and show its warnings.

    Args:
        path: the file, or ``-`` for standard input.
        messages: where warnings go.
        instance: the instance of nodes that name none; ``agent-<hostname>`` if empty.
        lax: unknown keys are warnings, not errors.
        allow_empty: a configuration without nodes is not an error.

    Raises:
        ConfigurationError: the file cannot be read, or what it says is wrong.
    """
    if path == STANDARD_INPUT:
        source = "standard input"
        parsed = parse(_standard_input(source), source=source, directory=Path.cwd(), instance=instance, lax=lax)
    else:
        source = path
        parsed = parse_file(path, instance=instance, lax=lax)
    if not parsed.configuration.nodes and not allow_empty:
        raise without_nodes(f"cluster configuration {source}")
    for warning in parsed.warnings:
        messages.warning(warning)
    return parsed.configuration


def read_given(args: argparse.Namespace, messages: Messages) -> Configuration:
    """Read the configuration in the file that a verb's arguments name, and show its warnings.

    Raises:
        ConfigurationError: the file cannot be read, or what it says is wrong.
    """
    return read_cluster_file(args.config, messages, instance=args.instance, lax=args.lax, allow_empty=args.allow_empty)


def read_reviewed(args: argparse.Namespace, messages: Messages) -> Configuration:
    """Like :func:`read_given`, but also show probable mistakes in the configuration."""
    configuration = read_given(args, messages)
    for doubt in (*review(configuration), *missing_logs(configuration)):
        messages.warning(doubt)
    return configuration


def _standard_input(source: str) -> bytes:
    if sys.stdin is None:
        raise ConfigurationError(f"cluster configuration {source} cannot be read: it is closed")
    try:
        return sys.stdin.buffer.read(LARGEST + 1)
    except OSError as error:
        raise unreadable(source, error) from None


def without_nodes(what: str) -> ConfigurationError:
    """The error for a configuration without nodes."""
    return ConfigurationError(
        f"there is no node in {what}: deploying it would stop all that run (--allow-empty if that is meant)"
    )
