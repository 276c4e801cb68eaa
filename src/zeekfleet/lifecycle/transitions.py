"""The one table of a node's states (docs/protocol.md, section 4).

::

                     LAUNCHED                    HELLO
      (new) ───────────────────▶ PENDING ─────────────────▶ RUNNING
                                  ▲ ▲ │                      │   │
                         LAUNCHED │ │ │ ENDED                │   │ LAUNCHED
                                  │ │ ▼                      │   ▼
                                  │ CRASHED ◀────────────────┘  PENDING (a restart)
                                  │    │           ENDED
                                  │    │ GIVEN_UP
                                  │    ▼
                                  └─ FAILED ◀── GIVEN_UP ── PENDING, RUNNING

      any state ── STOPPED ──▶ STOPPED ── LAUNCHED ──▶ PENDING
      any state ── LOST ─────▶ UNKNOWN ── any cause ──▶ as that cause says

``ENDED`` means that the process ended by itself; ``GIVEN_UP`` that it will not be
started again soon (a crash loop, or no hello within the start limit). An end or a
hello that is reported twice changes nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

from zeekfleet.model.enums import State


class Cause(enum.Enum):
    """What can happen to a node."""

    LAUNCHED = "a process was started for it, or is about to be"
    HELLO = "it said hello"
    ENDED = "its process ended by itself"
    GIVEN_UP = "it is not tried again soon"
    STOPPED = "it was stopped on request"
    LOST = "whoever watches it is out of reach"


_STATES_OF_ANY_CAUSE: Mapping[Cause, State] = {
    Cause.LAUNCHED: State.PENDING,
    Cause.HELLO: State.RUNNING,
    Cause.ENDED: State.CRASHED,
    Cause.GIVEN_UP: State.FAILED,
    Cause.STOPPED: State.STOPPED,
    Cause.LOST: State.UNKNOWN,
}

TRANSITIONS: Mapping[tuple[State, Cause], State] = MappingProxyType(
    {
        (State.PENDING, Cause.HELLO): State.RUNNING,
        (State.PENDING, Cause.ENDED): State.CRASHED,
        (State.PENDING, Cause.GIVEN_UP): State.FAILED,
        (State.PENDING, Cause.STOPPED): State.STOPPED,
        (State.PENDING, Cause.LOST): State.UNKNOWN,
        (State.RUNNING, Cause.LAUNCHED): State.PENDING,
        (State.RUNNING, Cause.ENDED): State.CRASHED,
        (State.RUNNING, Cause.GIVEN_UP): State.FAILED,
        (State.RUNNING, Cause.STOPPED): State.STOPPED,
        (State.RUNNING, Cause.LOST): State.UNKNOWN,
        (State.CRASHED, Cause.LAUNCHED): State.PENDING,
        (State.CRASHED, Cause.GIVEN_UP): State.FAILED,
        (State.CRASHED, Cause.STOPPED): State.STOPPED,
        (State.CRASHED, Cause.LOST): State.UNKNOWN,
        (State.FAILED, Cause.LAUNCHED): State.PENDING,
        # A slow node may say hello after it was given up.
        (State.FAILED, Cause.HELLO): State.RUNNING,
        (State.FAILED, Cause.STOPPED): State.STOPPED,
        (State.FAILED, Cause.LOST): State.UNKNOWN,
        (State.STOPPED, Cause.LAUNCHED): State.PENDING,
        (State.STOPPED, Cause.LOST): State.UNKNOWN,
        **{(State.UNKNOWN, cause): state for cause, state in _STATES_OF_ANY_CAUSE.items() if cause is not Cause.LOST},
    }
)
"""All changes of state. A cause that is not listed for a state changes nothing."""


def after(state: State, cause: Cause) -> State | None:
    """The state of a node after ``cause``, if it was in ``state`` before; None if nothing changes."""
    return TRANSITIONS.get((state, cause))
