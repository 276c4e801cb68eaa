"""What an event is."""

from __future__ import annotations

from typing import ClassVar

import msgspec


class Event(msgspec.Struct, frozen=True):
    """Base of all events; fields are the arguments, in wire order.

    A request event's first field is ``reqid``; ``response`` is the event that
    answers it, with the same ``reqid``.
    """

    event_name: ClassVar[str]
    response: ClassVar[type[Event] | None] = None
    first_generation: ClassVar[bool] = False
    """Whether the event, with the same arguments, is also of the first generation."""
