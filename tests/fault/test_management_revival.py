"""Agent and controller come back fast, and for ever, whatever is set for nodes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
from trees import INSTANCE, Tree, cluster, node

from support.waiting import until
from zeekfleet.model.enums import State

KILLS = 6
"""So many within a minute, and a node would count as failed by default."""


def processes(tree: Tree) -> dict[str, int]:
    """Agent and controller, by name, as far as they run now."""
    found = {}
    for child in tree.stem.children():
        try:
            settings = child.cmdline()[-1]
        except (psutil.Error, IndexError):
            continue
        if settings.endswith("/settings.json"):
            found[Path(settings).parent.name] = child.pid
    return found


DELAYS = ("--revival-initial-delay", "--revival-max-delay", "--revival-retry-delay")
RARELY = ("--revival-loop-limit", "1", *(word for delay in DELAYS for word in (delay, "3600")))


@pytest.mark.long
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("--revival", "no"), id="never"),
        pytest.param((*RARELY, "--revival-retry-delay", "3600"), id="rarely"),
    ],
)
def test_killed_again_and_again(tmp_path: Path, options: tuple[str, ...]) -> None:
    with Tree(tmp_path, *options) as tree:
        with tree.link() as link:
            tree.when(link, lambda found: INSTANCE in found)
            pids = tree.deployed(link, cluster(node("w1")))
        for _ in range(KILLS):
            present = processes(tree)
            for pid in present.values():
                os.kill(pid, signal.SIGKILL)
            until(
                lambda present=present: (
                    {INSTANCE, "controller"} == processes(tree).keys()
                    and not set(present.values()) & set(processes(tree).values())
                ),
                "both are back",
            )
        with tree.link() as link:
            assert tree.running(link, *pids) == pids
            found = tree.when(link, lambda now: {INSTANCE, "controller"} <= now.keys())
            assert found["controller"].state is State.RUNNING
