"""Reads the cluster configuration file from disk, and resolves paths and host names on this host."""

from __future__ import annotations

import socket
from pathlib import Path

from zeekfleet.errors import ConfigurationError
from zeekfleet.model.management import Configuration
from zeekfleet.planning.ini import ParsedConfiguration, parse_configuration

LARGEST = 16 * 2**20
"""The largest accepted file, in bytes: a larger one is probably the wrong file, or a device without end."""


def read_configuration(path: str, *, instance: str = "", lax: bool = False) -> Configuration:
    """What :meth:`~zeekfleet.model.management.Configuration.from_file` does."""
    import logging  # noqa: PLC0415 - the commands, which must start fast, do not log

    parsed = parse_file(path, instance=instance, lax=lax)
    for warning in parsed.warnings:
        logging.getLogger(__name__).warning("%s", warning)
    return parsed.configuration


def parse_file(path: str, *, instance: str = "", lax: bool = False) -> ParsedConfiguration:
    """Read the configuration in a file, with warnings for the file's author.

    Relative paths in it start at the file's directory.

    Args:
        path: the file.
        instance: the instance of nodes that name none; ``agent-<hostname>`` if empty.
        lax: unknown keys are warnings, not errors.

    Raises:
        ConfigurationError: the file cannot be read, or what it says is wrong.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise unreadable(path, error) from None
    return parse(data, source=path, directory=Path(path).parent, instance=instance, lax=lax)


def unreadable(source: str, error: OSError) -> ConfigurationError:
    """The error for a file that cannot be read."""
    return ConfigurationError(f"cluster configuration {source} cannot be read: {error.strerror}")


def parse(data: bytes, *, source: str, directory: Path, instance: str = "", lax: bool = False) -> ParsedConfiguration:
    """Parse the content of a file.

    Args:
        data: the file's content; if the file is too large, its first :data:`LARGEST` + 1 bytes.
        source: the name of the file in errors.
        directory: the directory at which relative paths start.
        instance: as for :func:`parse_file`.
        lax: as for :func:`parse_file`.

    Raises:
        ConfigurationError: it is too large, is not text, or has errors.
    """
    if len(data) > LARGEST:
        raise ConfigurationError(f"cluster configuration {source} is larger than {LARGEST >> 20} MiB")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"cluster configuration {source} is not UTF-8 text (byte {error.start})") from None
    return parse_configuration(
        text,
        source=source,
        hostname=socket.gethostname(),
        instance=instance,
        resolver=_resolve,
        base=Beside(directory),
        lax=lax,
    )


class Beside:
    """Resolves relative paths, which start at a directory.

    Args:
        directory: the directory; it is made absolute. The same file must give the same paths from whichever directory
            the command is run, because a node whose paths are written differently is restarted.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()

    def absolute(self, path: str) -> str:
        """The whole path. Leading ``..`` are resolved; later ones stay, since they may follow a symbolic link."""
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
