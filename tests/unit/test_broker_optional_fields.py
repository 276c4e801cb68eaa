"""Fields that may be unset and have no default: they must be present in the vector, as ``none``."""

from __future__ import annotations

import pytest

from zeekfleet.broker.events.supervision import NodeExitDetail
from zeekfleet.broker.generations import SECOND
from zeekfleet.broker.messages import decode_data, decode_event, encode_event
from zeekfleet.broker.values import NONE, String, Vector
from zeekfleet.errors import ValueMismatchError

TOPIC = "zeek/management/supervisor"


def test_unset_fields_come_back_unset() -> None:
    end = NodeExitDetail("w", None, "ended", None, None, False, False, False, None, True, 1.5, 0, "")
    event, _ = decode_event(decode_data(encode_event(TOPIC, end)))
    assert event == end


def test_they_must_be_present() -> None:
    with pytest.raises(ValueMismatchError, match="at least 13 fields"):
        SECOND.codec.from_value(Vector([String("w"), NONE]), NodeExitDetail)
