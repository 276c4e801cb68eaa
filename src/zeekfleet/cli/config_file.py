"""The cluster configuration file that verbs are given."""

from __future__ import annotations

import argparse
import contextlib
import socket
import sys
from pathlib import Path

from zeekfleet.cli.messages import Messages
from zeekfleet.errors import ConfigurationError
from zeekfleet.model.management import Configuration
from zeekfleet.planning.ini import parse_configuration

STANDARD_INPUT = "-"

LARGEST = 16 * 2**20
"""Bytes of a file: what is larger is another one, or has no end."""


def add_file(parser: argparse.ArgumentParser) -> None:
    """The file, and what is done about keys that nobody knows."""
    parser.add_argument("config", metavar="FILE", help='Cluster configuration file, "-" for stdin.')
    parser.add_argument(
        "--instance", metavar="NAME", default="", help="Instance of nodes that name none (default: agent-HOSTNAME)."
    )
    parser.add_argument("--lax", action="store_true", help="Only warn of unknown keys in FILE.")


def add_allow_empty(parser: argparse.ArgumentParser) -> None:
    """The word that a configuration without nodes needs: deploying it stops all nodes."""
    parser.add_argument("--allow-empty", action="store_true", help="Take a configuration without nodes.")


def read_cluster_file(
    path: str, messages: Messages, *, instance: str = "", lax: bool = False, allow_empty: bool = False
) -> Configuration:
    """The configuration in a file (``-``: standard input), having told its warnings.

    Args:
        path: the file's.
        messages: told of the warnings.
        instance: where nodes go that name none; ``agent-<hostname>`` when left out.
        lax: unknown keys are warnings, not errors.
        allow_empty: there need not be a node in it.

    Raises:
        ConfigurationError: the file cannot be read, or what stands in it is wrong.
    """
    source = "standard input" if path == STANDARD_INPUT else path
    if path == STANDARD_INPUT and sys.stdin is None:
        raise ConfigurationError("cluster configuration standard input cannot be read: it is closed")
    try:
        with contextlib.nullcontext(sys.stdin.buffer) if path == STANDARD_INPUT else Path(path).open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ConfigurationError(f"cluster configuration {source} is larger than {LARGEST >> 20} MiB")
        text = data.decode()
    except OSError as error:
        raise ConfigurationError(f"cluster configuration {source} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"cluster configuration {source} is not UTF-8 text (byte {error.start})") from None
    beside = Beside(Path.cwd() if path == STANDARD_INPUT else Path(path).parent)
    parsed = parse_configuration(
        text,
        source=source,
        hostname=socket.gethostname(),
        instance=instance,
        resolver=_resolve,
        places=beside,
        lax=lax,
    )
    if not parsed.configuration.nodes and not allow_empty:
        raise without_nodes(f"cluster configuration {source}")
    for warning in parsed.warnings:
        messages.warning(warning)
    return parsed.configuration


def without_nodes(what: str) -> ConfigurationError:
    """Why a configuration without nodes is not taken."""
    return ConfigurationError(
        f"there is no node in {what}: deploying it would stop all that run (--allow-empty if that is meant)"
    )


class Beside:
    """Relative paths begin in a directory.

    Args:
        directory: the same one must give the same paths, wherever the command is run: a node whose paths are written
            in another way is launched anew.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()

    def absolute(self, path: str) -> str:
        """The whole path, without the ``..`` that it begins with; another stays, since it may follow a link."""
        directory, rest = self._directory, Path(path)
        while rest.parts[:1] == ("..",):
            directory, rest = directory.parent, Path(*rest.parts[1:])
        return str(directory / rest)

    def is_file(self, path: str) -> bool:
        """Whether there is a file of that path."""
        return (self._directory / path).is_file()


def _resolve(name: str) -> str:
    """The name's first address, IPv4 before IPv6."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return str(min(found, key=lambda entry: entry[0] != socket.AF_INET)[4][0])
