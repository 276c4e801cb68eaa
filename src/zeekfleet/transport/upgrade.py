"""Our own HTTP headers in an upgrade to WebSocket, in addition to those of RFC 6455; and refusals."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.http11 import Response

from zeekfleet.broker.client_frames import LIMIT, NAME
from zeekfleet.broker.session import APPLICATION_NAME

ENDPOINT = "X-Zeekfleet-Endpoint"
"""The dialling side's endpoint id; the other side tells its own in the acknowledgement."""

REFUSAL = "X-Zeekfleet-Refusal"
"""Why an upgrade is refused, for clients that do not read the body of a refusal."""


def own_fields(name: str, frame_limit: int) -> dict[str, str]:
    """The headers that either side sends about itself; a name that is not a valid application name is left out."""
    fields = {LIMIT: str(frame_limit)}
    if APPLICATION_NAME.fullmatch(name):
        fields[NAME] = name
    return fields


def first(headers: Headers, name: str) -> str:
    """The first value of a field; empty if there is none."""
    return next(iter(headers.get_all(name)), "")


def frame_limit(headers: Headers) -> int | None:
    """The largest frame that the sender accepts, in bytes; None if it sent no size, or an invalid one."""
    told = first(headers, LIMIT)
    return int(told) if told.isascii() and told.isdigit() and len(told) < 12 else None


def refusal(status: HTTPStatus, reason: str, fields: Mapping[str, str] | None = None) -> Response:
    """The answer to a refused request.

    Args:
        status: the HTTP status.
        reason: the reason, for the body.
        fields: further headers.
    """
    body = f"{status.value}: {reason}\n".encode()
    headers = Headers(
        {
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **{name: ascii(value)[1:-1] for name, value in (fields or {}).items()},
        }
    )
    return Response(status.value, status.phrase, headers, body)
