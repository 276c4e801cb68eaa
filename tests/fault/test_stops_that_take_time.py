"""A logger that has much to write when it is told to stop, seen from a client."""

from __future__ import annotations

from pathlib import Path

import pytest
from trees import Tree, cluster, node

from zeekfleet.broker.events.stops import NotifyNodeStopping
from zeekfleet.model.enums import ClusterRole

WRITES = "6"
"""Seconds: longer than all that a stop is given here without a sign of work, the agent's time-out included."""


@pytest.mark.long
def test_a_restart_waits_for_a_logger_that_writes(tmp_path: Path) -> None:
    options = ("--grace", "1.5", "--agent-request-timeout", "2")
    logger = node("logger", ClusterRole.LOGGER, ZEEKFLEET_SIM_END_WRITING=WRITES)
    with Tree(tmp_path, *options) as tree, tree.link() as link:
        tree.when(link, bool)
        before = tree.deployed(link, cluster(logger, node("w1")))
        last = tree.state / "nodes" / "logger" / "last.log"
        code, out, err = tree.command("restart", "logger")
        assert code == 0, (out, err)
        assert last.read_text().endswith("\ncomplete\n")
        after = tree.running(link, "logger", "w1")
        assert after["logger"] != before["logger"]
        assert after["w1"] == before["w1"]
        news = tree.hears(link, lambda event: isinstance(event, NotifyNodeStopping))
        assert isinstance(news, NotifyNodeStopping)
        assert (news.node, news.written > 65536) == ("logger", True)
        assert "node 'logger' is still writing" in tree.daemon.stderr

        last.unlink()
        code, out, err = tree.command("restart", "--now", "logger")
        assert code == 0, (out, err)
        assert not last.read_text().endswith("complete\n")
        assert tree.running(link, "logger")["logger"] != after["logger"]
