"""What may stand in the places of a configuration file: text to value and back.

Each reader raises ValueError with the words that follow "expected".
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping

from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.types import Address, Port

Resolver = Callable[[str], str]
"""Turns a host name into the text of an address; raises OSError when it cannot."""

_PERCENT = re.compile(r"%%|%\(([^()]+)\)s")
_MAX_INTERPOLATION_DEPTH = 10


def interpolate(text: str, variables: Mapping[str, str | None]) -> str:
    """The text with ``%(key)s`` replaced by another key's value, and ``%%`` by ``%``.

    Any other percent sign stands for itself, and so does a ``%(key)s`` whose
    key is not there: where ConfigParser would give up, this keeps the text.

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


def escape(text: str) -> str:
    """The text as :func:`interpolate` (and ConfigParser) reads it back."""
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
    try:
        return int(text)
    except ValueError:
        return None


def read_role(text: str) -> ClusterRole:
    """A role, with or without its scope, in any case: ``worker``, ``Supervisor::WORKER``."""
    name = text.rpartition("::")[2].rpartition(".")[2].upper()
    try:
        return ClusterRole[name]
    except KeyError:
        raise ValueError("manager, logger, proxy or worker") from None


def read_scripts(text: str) -> tuple[str, ...]:
    """Script names, split as a shell would, sorted."""
    return tuple(sorted(_shell_split(text)))


def read_env(text: str) -> dict[str, str]:
    """``KEY=VALUE`` words, split as a shell would."""
    variables: dict[str, str] = {}
    for word in _shell_split(text):
        key, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"KEY=VALUE, which '{word}' is not")
        variables[key] = value
    return variables


def _shell_split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(f"shell words with closed quotes ({str(error).lower()})") from None


def read_endpoint(text: str, resolver: Resolver | None) -> tuple[Address, Port]:
    """``ADDRESS:PORT``, where the address may be a host name if there is a resolver."""
    host, _, port = text.rpartition(":")
    host = host.strip("[] ")
    if not host or not port.strip():
        raise ValueError("ADDRESS:PORT, [ADDRESS]:PORT, or nothing when the agent connects to the controller")
    return _read_host(host, resolver), read_port(port)


def _read_host(host: str, resolver: Resolver | None) -> Address:
    if "%" in host:
        raise ValueError(f"an address without a zone before the port, not '{host}'")
    try:
        return Address(host)
    except ValueError:
        if resolver is None:
            raise ValueError(f"an IPv4 or IPv6 address before the port, which '{host}' is not") from None
    try:
        return Address(resolver(host))
    except (OSError, ValueError) as error:
        raise ValueError(f"a host name that resolves before the port: '{host}' does not ({error})") from None


def write_scripts(scripts: Iterable[str]) -> str:
    """What :func:`read_scripts` reads back."""
    return " ".join(_quoted(f'"{script}"' if _has_space(script) else script, script) for script in sorted(scripts))


def write_env(variables: Mapping[str, str]) -> str:
    """What :func:`read_env` reads back."""
    return " ".join(
        _quoted(f'{key}="{value}"' if _has_space(value) else f"{key}={value}", f"{key}={value}")
        for key, value in sorted(variables.items())
    )


def _has_space(text: str) -> bool:
    return len(text.split()) > 1


def _quoted(customary: str, word: str) -> str:
    """The customary spelling where a shell reads it as the word, else one with full quoting."""
    try:
        if shlex.split(customary) == [word]:
            return customary
    except ValueError:
        return shlex.quote(word)
    return shlex.quote(word)
