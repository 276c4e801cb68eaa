"""``Zeekfleet::``: what stands in for a response that is too large for whoever asked."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Response


class ResponseTooLarge(Response, frozen=True):
    """There is a response to this request, but it cannot be sent; ``problem`` is a sentence with both sizes."""

    event_name: ClassVar[str] = "Zeekfleet::response_too_large"
    problem: str
