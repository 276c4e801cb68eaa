"""Parts that several verbs share: failures, and how results are read (docs/protocol.md, section 8).

Results are read by zeek-client's rules, since zeek-client and this one must understand every controller in the same
way.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from zeekfleet.broker import values
from zeekfleet.client.views import Note, problem
from zeekfleet.errors import RequestFailedError
from zeekfleet.model.enums import ClusterRole, Role
from zeekfleet.model.management import Result

NO_REASON = "no reason given"

Document = dict[str, Any]
"""A JSON object."""


class Failure(msgspec.Struct, frozen=True):
    """What went wrong at one instance or node.

    Attributes:
        error: what went wrong; None if the report does not say.
        source: the instance's or node's name, None if the controller itself reported it.
        unattributed: whether the result itself was malformed, so that its source is not known.
    """

    error: str | None
    source: str | None = None
    unattributed: bool = False

    def document(self) -> Document:
        """``{"source", "error"}``, without the source if it is not known."""
        return {"error": self.error} if self.unattributed else {"source": self.source, "error": self.error}


def silent(asked: Collection[str], told: Collection[str], errors: Iterable[Failure]) -> tuple[str, ...]:
    """The nodes that were asked and for which there is neither a result nor an error, sorted by name."""
    return tuple(sorted(set(asked) - set(told) - {failure.source for failure in errors}))


def failures(found: Iterable[Failure]) -> list[Note]:
    """A line for each failure: where it happened, and what."""
    return [
        problem(f"{failure.source}: {failure.error}" if failure.source else str(failure.error)) for failure in found
    ]


def in_order(results: Iterable[Result]) -> list[Result]:
    """Sort by instance (without one last), then by node if both have one: zeek-client's order of errors."""
    return sorted(results, key=functools.cmp_to_key(_compare))


def expect_data(result: Result, what: str) -> Any:
    """The data of a result.

    Args:
        result: a result of the controller.
        what: what the data should be, for the error.

    Raises:
        RequestFailedError: the controller could not do what was asked, or there is no data.
    """
    if not result.success:
        raise RequestFailedError(result.reqid, result.error or NO_REASON)
    if result.data is None:
        raise RequestFailedError(result.reqid, f"the controller's answer does not contain {what}")
    return result.data


def has_data(data: Any) -> bool:
    """Whether there is data. An absent value and an empty container count as no data."""
    if isinstance(data, values.Vector | values.Set | values.Table):
        return bool(data.data)
    return data is not None


def text_of(data: Any) -> str:
    """The text of a string; anything else as it is on the wire."""
    return data.data if isinstance(data, values.String) else wire_text(data)


def wire_text(data: Any, indent: int | None = None) -> str:
    """A value as it is on the wire."""
    return str(None) if data is None else json.dumps(msgspec.to_builtins(data), indent=indent, sort_keys=True)


def role_name(role: Role | ClusterRole) -> str | None:
    """A role's bare name, None for NONE."""
    return None if role.name == "NONE" else role.name


def _compare(one: Result, other: Result) -> int:
    if (one.instance is None) != (other.instance is None):
        return 1 if one.instance is None else -1
    if one.instance != other.instance:
        return -1 if str(one.instance) < str(other.instance) else 1
    if one.node is None or other.node is None or one.node == other.node:
        return 0
    return -1 if one.node < other.node else 1
