"""``Zeekfleet::``: the replacement for a response that is larger than its receiver accepts."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Response


class ResponseTooLarge(Response, frozen=True):
    """The response to this request is too large to be sent; ``problem`` is a sentence with both sizes."""

    event_name: ClassVar[str] = "Zeekfleet::response_too_large"
    problem: str
