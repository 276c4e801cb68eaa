"""``--now``: nodes that stop slowly are hurried; progress counts as without it."""

from __future__ import annotations

import pytest

from zeekfleet.broker.events.agent import NotifyLog
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.controller import RestartRequest, RestartResponse
from zeekfleet.broker.events.stops import ControllerHurry, NotifyNodeStopping
from zeekfleet.cli.verbs import make_parser
from zeekfleet.client.blocking import BlockingClient, result_of
from zeekfleet.client.carrier import Watch
from zeekfleet.model.management import Result

TOPIC = "zeek/management/agent/i"
NEWS = NotifyNodeStopping("i", "logger", 110_000_000, 2.0, 12.0)
LOG = NotifyLog("i", "restarting", "logger")


class FakeLink:
    """Reports a logger that stops slowly, then answers."""

    def __init__(self) -> None:
        self.published: list[Event] = []
        self.verdicts: list[bool] = []

    def publish(self, event: Event) -> None:
        self.published.append(event)

    def request(self, event: RestartRequest, _timeout: float, watch: Watch) -> RestartResponse:
        self.verdicts = [watch(TOPIC, LOG), watch(TOPIC, NEWS)]
        return RestartResponse(event.reqid, (Result(event.reqid, instance="i", node="logger"),))


@pytest.mark.parametrize("now", [True, False])
def test_with_now_each_slow_node_is_hurried(now: bool) -> None:
    link = FakeLink()
    client = BlockingClient(link, 1.0)  # type: ignore[arg-type] # what of a link is needed here
    assert result_of(client.restart(["logger"], now=now)).ok
    assert link.published == ([ControllerHurry(frozenset({"logger"}))] if now else [])
    assert link.verdicts == [True, False]


@pytest.mark.parametrize("line", [["restart"], ["deploy"], ["deploy-config", "x"], ["stop"]], ids=" ".join)
def test_verbs_that_stop_nodes_take_it(line: list[str]) -> None:
    parser = make_parser((line[0],))
    assert not parser.parse_args(line).now
    assert parser.parse_args([*line, "--now"]).now
