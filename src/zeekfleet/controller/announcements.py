"""Reports deployments: publishes progress and outcomes on ``topics.DEPLOYMENTS``, and logs outcomes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from zeekfleet.broker import topics
from zeekfleet.controller.notifications import NotificationKeeper
from zeekfleet.controller.tracker import Tracker
from zeekfleet.errors import StoreError
from zeekfleet.model.deployments import KEEP, NodeAction, action_text
from zeekfleet.transport.bus import Bus

logger = logging.getLogger(__name__)

HEARTBEAT = 5.0
"""Progress is published after so many seconds even if nothing has changed: clients know that it still goes on."""

PAUSE = 0.2
"""The fewest seconds between two publications, so that thousands of nodes do not cause thousands of them."""

NODES_NAMED = 6
"""The most nodes that a log line names."""


async def announce_progress(bus: Bus, tracker: Tracker) -> None:
    """Publish a deployment's progress, whenever it changes, until it has ended."""
    while not tracker.ended.done():
        bus.publish(topics.DEPLOYMENTS, tracker.progress())
        with suppress(TimeoutError):
            async with asyncio.timeout(HEARTBEAT):
                await tracker.changed.next()
        await asyncio.sleep(PAUSE)


def announce_outcome(bus: Bus, keeper: NotificationKeeper, tracker: Tracker) -> None:
    """Publish, log and store the outcome of a deployment.

    If a client asked for the deployment, it gets a response in any case. If the controller did it by itself, the
    sentence also says which nodes were touched.
    """
    deployment, outcome = tracker.deployment, tracker.outcome()
    changes = [action for action in outcome.actions if action.action != KEEP] if deployment.is_own else []
    facts: dict[str, object] = {
        "reqid": deployment.reqid,
        "config": deployment.configuration.id,
        "success": outcome.success,
    }
    is_news = bool(changes) or not (deployment.is_own and outcome.success)
    if is_news:
        facts["kind"] = "deployment"
    if deployment.by:
        facts["by"] = deployment.by
    told = "success" if outcome.success else "; ".join(outcome.errors)
    if changes:
        told += f" ({_some(changes)})"
    level = logging.INFO if outcome.success or deployment.is_own else logging.WARNING
    what = "deployed again" if deployment.is_own else "deployment of"
    sentence = f"{what} configuration {deployment.configuration.id}: {told}"
    logger.log(level, "%s", sentence, extra=facts)
    if is_news:
        keeper.deployed(deployment.configuration.id, sentence, success=outcome.success, by=deployment.by)
    bus.publish(topics.DEPLOYMENTS, outcome)


def announce_unreadable(keeper: NotificationKeeper, error: StoreError) -> None:
    """Log and store that the deployed configuration cannot be deployed again, because it cannot be read."""
    sentence = f"what is deployed is not deployed again: {error}"
    facts = {"kind": "deployment", "success": False, "error": str(error)}
    logger.error("%s", sentence, extra=facts)
    keeper.deployed("", sentence, success=False)


def _some(actions: Sequence[NodeAction]) -> str:
    """Such as ``w1 restarted (env), w2 started and 3 more``."""
    told = ", ".join(f"{action.node} {action_text(action)}" for action in actions[:NODES_NAMED])
    return told if len(actions) <= NODES_NAMED else f"{told} and {len(actions) - NODES_NAMED} more"
