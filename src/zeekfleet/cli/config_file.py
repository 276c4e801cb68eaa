"""Reading the cluster configuration that a verb is given."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from zeekfleet.cli.messages import Messages
from zeekfleet.errors import ConfigurationError
from zeekfleet.model.management import Configuration
from zeekfleet.planning.ini import parse_configuration

STANDARD_INPUT = "-"


def read_cluster_file(path: str, messages: Messages) -> Configuration:
    """The configuration in a file (``-``: standard input), having told its warnings.

    Raises:
        ConfigurationError: the file cannot be read, or what stands in it is wrong.
    """
    source = "standard input" if path == STANDARD_INPUT else path
    if path == STANDARD_INPUT and sys.stdin is None:
        raise ConfigurationError("cluster configuration standard input cannot be read: it is closed")
    try:
        data = sys.stdin.buffer.read() if path == STANDARD_INPUT else Path(path).read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"cluster configuration {source} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"cluster configuration {source} is not UTF-8 text (byte {error.start})") from None
    parsed = parse_configuration(text, source=source, hostname=socket.gethostname(), resolver=_resolve)
    for warning in parsed.warnings:
        messages.warning(warning)
    return parsed.configuration


def _resolve(name: str) -> str:
    """The name's first address, IPv4 before IPv6."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return str(min(found, key=lambda entry: entry[0] != socket.AF_INET)[4][0])
