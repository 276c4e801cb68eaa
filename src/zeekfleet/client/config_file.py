"""The cluster configuration file: read from disk, with paths and host names resolved on this host."""

from __future__ import annotations

import socket
from pathlib import Path

from zeekfleet.errors import ConfigurationError
from zeekfleet.model.management import Configuration
from zeekfleet.planning.ini import ParsedConfiguration, parse_configuration

LARGEST = 16 * 2**20
"""Bytes of a file: one that is larger is the wrong file, or has no end."""


def read_configuration(path: str, *, instance: str = "", lax: bool = False) -> Configuration:
    """What :meth:`~zeekfleet.model.management.Configuration.from_file` does."""
    import logging  # noqa: PLC0415 - the commands, which must start fast, do not log

    parsed = parse_file(path, instance=instance, lax=lax)
    for warning in parsed.warnings:
        logging.getLogger(__name__).warning("%s", warning)
    return parsed.configuration


def parse_file(path: str, *, instance: str = "", lax: bool = False) -> ParsedConfiguration:
    """The configuration in a file, with what its writer should know about it.

    Relative paths in it start in the file's directory.

    Args:
        path: the file's.
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
    """What to tell of a file that the system does not let us read."""
    return ConfigurationError(f"cluster configuration {source} cannot be read: {error.strerror}")


def parse(data: bytes, *, source: str, directory: Path, instance: str = "", lax: bool = False) -> ParsedConfiguration:
    """The configuration in what was read of a file, of which one byte more than :data:`LARGEST` is enough.

    Args:
        data: the file's content.
        source: what to call the file in errors.
        directory: where relative paths start.
        instance: see :func:`parse_file`.
        lax: see there.

    Raises:
        ConfigurationError: it is too large, no text, or what it says is wrong.
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
    """Relative paths start in a directory.

    Args:
        directory: it is made absolute. The same directory must give the same paths wherever the command is run: a
            node whose paths are written differently is started anew.
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
