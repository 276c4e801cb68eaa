"""``--now``: whoever takes its time to stop is hurried, and progress is judged as before."""

from __future__ import annotations

import pytest

from zeekfleet.broker.events.agent import NotifyLog
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.stops import ControllerHurry, NotifyNodeStopping
from zeekfleet.cli.hurry import hurrying
from zeekfleet.cli.verbs import make_parser

TOPIC = "zeek/management/agent/i"
NEWS = NotifyNodeStopping("i", "logger", 110_000_000, 2.0, 12.0)


def test_each_node_that_takes_its_time_is_hurried() -> None:
    published: list[Event] = []
    seen: list[Event] = []

    def watch(_: str, event: Event) -> bool:
        seen.append(event)
        return isinstance(event, NotifyLog)

    watched = hurrying(published.append, watch)
    log = NotifyLog("i", "restarting", "logger")
    assert watched(TOPIC, log)
    assert not watched(TOPIC, NEWS)
    assert published == [ControllerHurry(frozenset({"logger"}))]
    assert seen == [log, NEWS]
    assert not hurrying(published.append, None)(TOPIC, NEWS)


@pytest.mark.parametrize("line", [["restart"], ["deploy"], ["deploy-config", "x"], ["stop"]], ids=" ".join)
def test_verbs_that_stop_nodes_take_it(line: list[str]) -> None:
    parser = make_parser((line[0],))
    assert not parser.parse_args(line).now
    assert parser.parse_args([*line, "--now"]).now
