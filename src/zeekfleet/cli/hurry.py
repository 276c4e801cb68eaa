"""``--now``: nodes that are being stopped and still write get no more than their grace."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.stops import ControllerHurry, NotifyNodeStopping
from zeekfleet.client.link import Watch


def add_now(parser: argparse.ArgumentParser) -> None:
    """Declare the option."""
    parser.add_argument(
        "--now",
        action="store_true",
        help="Do not wait for loggers that still write: they are killed after their grace, like other nodes.",
    )


def hurrying(publish: Callable[[Event], None], watch: Watch | None) -> Watch:
    """Watch as before, and have the controller hurry each node that is told to take its time.

    Args:
        publish: sends an event to the controller.
        watch: sees the events as well, and judges them.
    """

    def watched(topic: str, event: Event) -> bool:
        if isinstance(event, NotifyNodeStopping):
            publish(ControllerHurry(frozenset({event.node})))
        return watch is not None and watch(topic, event)

    return watched
