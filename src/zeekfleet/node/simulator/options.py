"""Reads options as on Zeek's command line, ``Name::option=value``, and converts their values to JSON."""

from __future__ import annotations

import ipaddress
import math
import re

from zeekfleet.node.simulator import zeek_json

_INTERVAL = re.compile(r"(-?\d+(?:\.\d*)?) ?(day|hr|min|sec|msec|usec)s?")
_PORT = re.compile(r"([0-9]{1,5})/(tcp|udp|icmp|unknown|\?)")
_SECONDS = {"day": 86400.0, "hr": 3600.0, "min": 60.0, "sec": 1.0, "msec": 1e-3, "usec": 1e-6}
_KINDS = ("bool", "count", "int", "double", "port", "interval", "subnet", "addr", "set", "string")


class TypeClashError(ValueError):
    """The value is not of the option's type."""


def split(script: str) -> tuple[str, str] | None:
    """Name and value of an option; None if the word is a script and not an option."""
    name, equals, text = script.partition("=")
    return (name, text) if equals and name else None


def render(text: str, kind: str | None = None) -> tuple[str, str]:
    """The kind of a value and its JSON text.

    Args:
        text: the value, such as ``T``, ``5 min``, ``{10.0.0.0/8,::1/128}`` or free text.
        kind: the option's kind, if it is known; otherwise it is guessed from the text.

    Raises:
        TypeClashError: the text is not a value of that kind.
    """
    for candidate in (kind,) if kind else _KINDS:
        rendered = _render(text.strip() if candidate != "string" else text, candidate)
        if rendered is not None:
            return candidate, rendered
    raise TypeClashError(text)


def _render(text: str, kind: str) -> str | None:
    try:
        return _READERS[kind](text)
    except (ValueError, OverflowError):
        return None


def _bool(text: str) -> str:
    return {"T": "true", "F": "false"}.get(text) or _refuse(text)


def _count(text: str) -> str:
    return str(int(text)) if re.fullmatch(r"[0-9]{1,20}", text) and int(text) < 2**64 else _refuse(text)


def _int(text: str) -> str:
    return str(int(text)) if re.fullmatch(r"[+-]?[0-9]{1,19}", text) else _refuse(text)


def _double(text: str) -> str:
    number = float(text) if re.fullmatch(r"[-+0-9.eE]+", text) else math.nan
    return zeek_json.double(number) if math.isfinite(number) else _refuse(text)


def _port(text: str) -> str:
    found = _PORT.fullmatch(text)
    return zeek_json.port(int(found[1]), found[2]) if found and int(found[1]) <= 65535 else _refuse(text)


def _interval(text: str) -> str:
    found = _INTERVAL.fullmatch(text)
    return zeek_json.interval(float(found[1]) * _SECONDS[found[2]]) if found else _refuse(text)


def _subnet(text: str) -> str:
    return zeek_json.string(str(ipaddress.ip_network(text.replace("[", "").replace("]", ""), strict=False)))


def _subnet_with_width(text: str) -> str:
    return _subnet(text) if "/" in text else _refuse(text)


def _address(text: str) -> str:
    return zeek_json.string(str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))))


def _set(text: str) -> str:
    if not (text.startswith("{") and text.endswith("}")):
        return _refuse(text)
    items = (item.strip() for item in text[1:-1].split(","))
    return zeek_json.sequence(render(_unquoted(item))[1] for item in items if item)


def _unquoted(item: str) -> str:
    return item[1:-1] if len(item) >= 2 and item[0] == item[-1] == '"' else item


def _refuse(text: str) -> str:
    raise TypeClashError(text)


_READERS = {
    "bool": _bool,
    "count": _count,
    "int": _int,
    "double": _double,
    "port": _port,
    "interval": _interval,
    "subnet": _subnet_with_width,
    "addr": _address,
    "set": _set,
    "string": zeek_json.string,
    "enum": zeek_json.string,
}
