"""Converts single values of a configuration file from text and back.

Each reader raises ValueError with the words that follow "expected" in an error.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from zeekfleet.model.addresses import numeric_host_problem
from zeekfleet.model.defaults import EVERY_ADDRESS_V6
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.ranges import LARGEST_TEXTS
from zeekfleet.model.types import UNSPECIFIED, Address, Port
from zeekfleet.planning.ini_lines import COMMENTS

Resolver = Callable[[str], str]
"""Turns a host name into the text of an address; raises OSError if it cannot."""

_PERCENT = re.compile(r"%%|%\(([^()]+)\)s")
_MAX_INTERPOLATION_DEPTH = 10

_NEXT_VARIABLE = re.compile(r",\s*[A-Za-z_][A-Za-z0-9_]*=")
_SEVERAL_IN_ONE = re.compile(r",\s*[A-Z_][A-Z0-9_]*=")
"""Matches what looks like a second variable inside the value of the first."""


def interpolate(text: str, variables: Mapping[str, str | None]) -> str:
    """The text with ``%(key)s`` replaced by another key's value, and ``%%`` by ``%``.

    Any other percent sign stands for itself, and so does a ``%(key)s`` whose key
    does not exist. ConfigParser would fail there.

    Raises:
        ValueError: values refer to each other in a circle.
    """
    return _interpolate(text, variables, 0)


def _interpolate(text: str, variables: Mapping[str, str | None], depth: int) -> str:
    if depth > _MAX_INTERPOLATION_DEPTH:
        raise ValueError(f"at most {_MAX_INTERPOLATION_DEPTH} values that refer to one another by %(key)s")

    def value_of(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        value = variables.get(match[1].lower())
        return match[0] if value is None else _interpolate(value, variables, depth + 1)

    return _PERCENT.sub(value_of, text)


def referenced_keys(text: str) -> set[str]:
    """The keys, in lower case, that the text refers to by ``%(key)s``."""
    return {match[1].lower() for match in _PERCENT.finditer(text) if match[1]}


def escape(text: str) -> str:
    """The text with percent signs doubled; :func:`interpolate` and ConfigParser reverse this."""
    return text.replace("%", "%%")


def read_port(text: str) -> Port:
    """A TCP port's number."""
    number = _integer(text)
    if number is None or not 1 <= number <= 65535:
        raise ValueError("a port number from 1 to 65535")
    return Port(number)


def read_cpu(text: str) -> int:
    """A CPU's number."""
    number = _integer(text)
    if number is None or not 0 <= number <= 65535:
        raise ValueError("the number of a CPU, counted from 0")
    return number


def _integer(text: str) -> int | None:
    """A number in ASCII digits, or None. ``int`` would also accept ``1_0`` and digits of other scripts."""
    stripped = text.strip()
    return int(stripped) if stripped.isascii() and stripped.isdigit() and len(stripped) <= 9 else None


def read_role(text: str) -> ClusterRole:
    """A role, with or without its scope, in upper or lower case: ``worker``, ``Supervisor::WORKER``."""
    name = text.rpartition("::")[2].rpartition(".")[2].upper()
    try:
        return ClusterRole[name]
    except KeyError:
        raise ValueError("manager, logger, proxy or worker") from None


def read_scripts(text: str) -> tuple[str, ...]:
    """Script names, split into words as a shell does, and sorted."""
    words = _shell_split(text)
    for word in words:
        if word == "=" or (word.endswith(",") and "=" not in word):
            raise ValueError(f"names of scripts separated by spaces, and no '{word}'")
    return tuple(sorted(words))


def read_env(text: str) -> dict[str, str]:
    """``KEY=VALUE`` words, split as a shell does."""
    variables: dict[str, str] = {}
    for word in _shell_split(text):
        key, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"KEY=VALUE, which '{word}' is not")
        if key in variables:
            raise ValueError(f"each variable once, and not '{key}' twice")
        variables[key] = value
    if _has_comma_after_quotes(text):
        raise ValueError("variables separated by spaces, not by commas")
    return variables


def _has_comma_after_quotes(text: str) -> bool:
    """Whether a comma and another variable follow a quoted value. A shell would read all of it as one word."""
    quote = ""
    place = 0
    while place < len(text):
        character = text[place]
        if character == "\\" and quote != "'":
            place += 1
        elif quote and character == quote:
            quote = ""
            if _NEXT_VARIABLE.match(text, place + 1):
                return True
        elif not quote and character in "\"'":
            quote = character
        place += 1
    return False


def env_warnings(variables: Mapping[str, str]) -> Iterator[str]:
    """Warnings about variables whose values look like several variables, one text each."""
    for key, value in variables.items():
        if _SEVERAL_IN_ONE.search(value) or (value.endswith(",") and len(variables) > 1):
            yield f"read as one variable {key} with the value '{value}'; variables are separated by spaces"


def has_comment(text: str) -> bool:
    """Whether a comment seems to follow a single value. It would become a part of the value."""
    return any(word.startswith(COMMENTS) for word in text.split()[1:])


def first_comment(words: Iterable[str]) -> str | None:
    """The first word of a list that seems to begin a comment, or None. The comment would become a part of the list."""
    return next((word for word in words if word.startswith(COMMENTS)), None)


class BaseDirectory(Protocol):
    """The directory of a configuration file, to which relative paths in the file are relative."""

    def absolute(self, path: str) -> str:
        """The path, made absolute."""
        ...

    def is_file(self, path: str) -> bool:
        """Whether there is such a file."""
        ...


def resolve_script(script: str, base: BaseDirectory) -> str:
    """A script as its node has to load it: the absolute path of a file, or a name that Zeek finds on its script path.

    It is a file if it begins with ``./`` or ``../``, or if a file with this relative path exists.
    Anything with an equals sign is left alone: for Zeek it is a setting.
    """
    if "=" not in script and (script.startswith(("./", "../")) or base.is_file(script)):
        return base.absolute(script)
    return script


def _shell_split(text: str) -> list[str]:
    if len(text) > LARGEST_TEXTS:
        raise ValueError(f"at most {LARGEST_TEXTS} bytes")
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(f"shell words with closed quotes ({str(error).lower()})") from None


def read_endpoint(text: str, resolver: Resolver | None) -> tuple[Address, Port]:
    """``ADDRESS:PORT``. With a resolver, the address may also be a host name."""
    host, _, port = text.rpartition(":")
    host = host.strip()
    if not host.strip("[] ") or not port.strip() or host.startswith("[") != host.endswith("]"):
        raise ValueError("ADDRESS:PORT, [ADDRESS]:PORT, or nothing when the agent connects to the controller")
    address = _read_host(host.strip("[] "), resolver)
    if address in (UNSPECIFIED, EVERY_ADDRESS_V6):
        raise ValueError(f"an address that can be connected to, not {address}; an agent that connects has none")
    return address, read_port(port)


def _read_host(host: str, resolver: Resolver | None) -> Address:
    if "%" in host:
        raise ValueError(f"an address without a zone before the port, not '{host}'")
    try:
        return Address(host)
    except ValueError:
        if problem := numeric_host_problem(host):
            raise ValueError(problem) from None
        if resolver is None:
            raise ValueError(f"an IPv4 or IPv6 address before the port, which '{host}' is not") from None
    try:
        return Address(resolver(host))
    except (OSError, ValueError) as error:
        raise ValueError(f"a host name that resolves before the port: '{host}' does not ({error})") from None


def write_scripts(scripts: Iterable[str]) -> str:
    """The text that :func:`read_scripts` reads back."""
    return " ".join(_quoted(f'"{script}"' if _has_space(script) else script, script) for script in sorted(scripts))


def write_env(variables: Mapping[str, str]) -> str:
    """The text that :func:`read_env` reads back."""
    return " ".join(
        _quoted(f'{key}="{value}"' if _has_space(value) else f"{key}={value}", f"{key}={value}")
        for key, value in sorted(variables.items())
    )


def _has_space(text: str) -> bool:
    return len(text.split()) > 1


def _quoted(customary: str, word: str) -> str:
    """zeek-client's spelling of the word if a shell reads it back as the word; else the word, fully quoted."""
    try:
        if shlex.split(customary) == [word]:
            return customary
    except ValueError:
        return shlex.quote(word)
    return shlex.quote(word)
