"""``zeekfleet monitor``: shows the events on the management topics, until interrupted."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import msgspec

from zeekfleet.broker import topics
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.presence import NotifyAlive
from zeekfleet.broker.generations import SECOND
from zeekfleet.broker.messages import UnknownEvent
from zeekfleet.cli.options import Subparsers, add_verb
from zeekfleet.cli.session import Session
from zeekfleet.errors import ProtocolError
from zeekfleet.model.texts import one_line

LONGEST_SILENCE = 3600.0
"""Seconds after which the wait is started anew."""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    add_verb(subparsers, "monitor")


def run(args: argparse.Namespace) -> int:
    """Run the verb: a line for each event, which is a document with ``--json``."""
    session = Session(args)
    with session.linked(topics.AGENT_PREFIX) as link:
        while True:
            try:
                received = link.receive(LONGEST_SILENCE)
            except ProtocolError as error:
                session.messages.error(str(error))
                continue
            if received is None:
                continue
            topic, event = received
            if isinstance(event, NotifyAlive):
                continue  # every agent sends these all the time, and they would hide other events
            document = describe(topic, event)
            if session.output.as_json:
                print(json.dumps(document, sort_keys=True))
            else:
                arguments = json.dumps(document["arguments"], ensure_ascii=False)
                print(one_line(f"{time.strftime('%H:%M:%S')} {topic} {document['event']} {arguments}"))
            sys.stdout.flush()


def describe(topic: str, event: Event) -> dict[str, Any]:
    """The event as a document: ``topic``, ``event`` (its name) and ``arguments`` (by name where they are known)."""
    if isinstance(event, UnknownEvent):
        return {"topic": topic, "event": event.name, "arguments": [_plain(value) for value in event.arguments]}
    arguments = {name: _plain(getattr(event, name)) for name in event.__struct_fields__}
    return {"topic": topic, "event": SECOND.names.get(type(event), event.event_name), "arguments": arguments}


def _plain(value: Any) -> Any:
    """Python data for JSON. Values without a declared type keep Broker's type tags."""
    return msgspec.to_builtins(value, enc_hook=str)
