"""Keeping what happens in the store, in the background, and telling it to clients that listen."""

from __future__ import annotations

import asyncio
import logging
import time

from zeekfleet.broker import topics
from zeekfleet.broker.events import agent as api
from zeekfleet.broker.events.notifications import NotificationKept
from zeekfleet.errors import StoreError
from zeekfleet.model.notifications import Notification, NotificationKind
from zeekfleet.store.interface import Store
from zeekfleet.transport.bus import Bus

logger = logging.getLogger(__name__)

QUEUE_LIMIT = 10_000
"""Notifications that wait to be written; beyond it the newest are dropped, with a log line."""

Notice = api.NotifyChange | api.NotifyError | api.NotifyLog


class NotificationKeeper:
    """Writes notifications one after the other, in a thread, and publishes each once it is written.

    Args:
        bus: where they are published.
        store: where they are kept.
    """

    def __init__(self, bus: Bus, store: Store) -> None:
        self._bus = bus
        self._store = store
        self._queue: asyncio.Queue[Notification] = asyncio.Queue(QUEUE_LIMIT)
        self.dropped = 0
        self._lost = 0

    def heard(self, notice: Notice) -> None:
        """Log what an agent tells, and queue it for the store; returns at once."""
        notification = _notification(notice)
        facts = {"instance": notification.instance} | ({"node": notification.node} if notification.node else {})
        if notification.kind == NotificationKind.ERROR:
            logger.error("instance %s: %s", notification.instance, notification.message, extra=facts)
        elif notification.kind == NotificationKind.LOG:
            logger.info("instance %s: %s", notification.instance, notification.message, extra=facts)
        else:
            logger.info(
                "instance %s: node %s: %s to %s",
                notification.instance, notification.node, notification.old, notification.new, extra=facts,
            )  # fmt: skip
        self._keep(notification)

    def connected(self, instance: str, sentence: str) -> None:
        """Keep that an instance's agent is there."""
        self._keep(Notification(NotificationKind.CONNECTED, time.time(), instance, message=sentence))

    def gone(self, instance: str, reason: str) -> None:
        """Keep that an instance's agent is gone."""
        self._keep(Notification(NotificationKind.GONE, time.time(), instance, message=reason))

    def deployed(self, config: str, sentence: str, *, success: bool) -> None:
        """Keep what came of a deployment."""
        kind = NotificationKind.DEPLOYMENT
        self._keep(Notification(kind, time.time(), message=sentence, config=config, success=success))

    def failed(self, controller: str, error: str) -> None:
        """Keep an error of the controller itself."""
        self._keep(Notification(NotificationKind.ERROR, time.time(), controller, message=error))

    async def run(self) -> None:
        """Write and publish until cancelled."""
        while True:
            notification = await self._queue.get()
            try:
                await asyncio.to_thread(self._store.record, notification)
            except StoreError as error:
                # Logged once: on a full disk, more lines would take what room is left.
                if not self._lost:
                    logger.error("notifications are not kept: %s", error, extra={"error": str(error)})
                self._lost += 1
            else:
                if self._lost:
                    logger.warning("notifications are kept again, after %d that were not", self._lost)
                self._lost = 0
            self._bus.publish(topics.NOTIFICATIONS, NotificationKept(notification))

    def _keep(self, notification: Notification) -> None:
        try:
            self._queue.put_nowait(notification)
        except asyncio.QueueFull:
            self.dropped += 1
            logger.warning("notifications come faster than they can be written; %d dropped so far", self.dropped)


def _notification(notice: Notice) -> Notification:
    now = time.time()
    match notice:
        case api.NotifyChange(instance=instance, n=node, old=old, new=new):
            return Notification(NotificationKind.CHANGE, now, instance, node.name, old=old, new=new)
        case api.NotifyError(instance=instance, msg=message, node=name):
            return Notification(NotificationKind.ERROR, now, instance, name, message)
        case api.NotifyLog(instance=instance, msg=message, node=name):
            return Notification(NotificationKind.LOG, now, instance, name, message)
