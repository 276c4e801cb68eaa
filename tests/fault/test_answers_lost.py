"""What the supervisor was asked for is done, and its answer is lost with it: what runs is not told to have failed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from trees import ANSWER, Tree, cluster, node

from zeekfleet.broker.events.agent import NotifyLog
from zeekfleet.broker.events.controller import DeployResponse
from zeekfleet.client.link import Link
from zeekfleet.model.enums import State

FIRST = cluster(node("w1"), name="first")
SECOND = cluster(node("w1"), node("w2"), node("w3"), name="second")
NAMES = ("manager", "w1", "w2", "w3")


def answered(link: Link) -> None:
    """Wait until the deployment that is under way is answered, however."""
    deadline = time.monotonic() + ANSWER
    while (received := link.receive(deadline - time.monotonic())) is not None:
        if isinstance(received[1], DeployResponse):
            return
    raise AssertionError("no answer")


@pytest.mark.long
def test_a_deployment_whose_supervisor_was_killed_before_it_could_answer(tmp_path: Path) -> None:
    with Tree(tmp_path) as tree, tree.link() as link:
        tree.when(link, bool)
        tree.deployed(link, FIRST)
        stem = tree.stem.pid
        request = tree.deploy_request(link, SECOND)
        os.kill(stem, signal.SIGSTOP)
        try:
            link.publish(request)
            tree.hears(link, lambda event: isinstance(event, NotifyLog) and "starting w2" in event.msg)
            tree.daemon.kill()
        finally:
            os.kill(stem, signal.SIGCONT)
        with tree.again() as second:
            answered(link)
            after = second.running(link, *NAMES)
            # Nor does it become so later: to deploy it once more finds nothing to do.
            assert all(result.success for result in second.deploy(link))
            found = second.nodes(link)
            assert {name: found[name].pid for name in NAMES} == after
            assert {found[name].state for name in NAMES} == {State.RUNNING}
