"""Keeping agents' notifications in the store, in the background."""

from __future__ import annotations

import asyncio
import logging
import time

from zeekfleet.broker.events import agent as api
from zeekfleet.errors import StoreError
from zeekfleet.store.interface import Notification, NotificationKind, Store

logger = logging.getLogger(__name__)

QUEUE_LIMIT = 10_000
"""Notifications that wait to be written; beyond it the newest are dropped, with a log line."""

Notice = api.NotifyChange | api.NotifyError | api.NotifyLog


class NotificationKeeper:
    """Logs notifications, and writes them to the store one after the other, in a thread.

    Args:
        store: where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: asyncio.Queue[Notification] = asyncio.Queue(QUEUE_LIMIT)
        self.dropped = 0
        self._lost = 0

    def keep(self, notice: Notice) -> None:
        """Log a notification and queue it for the store; returns at once."""
        notification = _notification(notice)
        facts = {"instance": notification.instance} | ({"node": notification.node} if notification.node else {})
        if notification.kind is NotificationKind.ERROR:
            logger.error("instance %s: %s", notification.instance, notification.message, extra=facts)
        elif notification.kind is NotificationKind.LOG:
            logger.info("instance %s: %s", notification.instance, notification.message, extra=facts)
        else:
            logger.info(
                "instance %s: node %s: %s to %s",
                notification.instance, notification.node, notification.old, notification.new, extra=facts,
            )  # fmt: skip
        try:
            self._queue.put_nowait(notification)
        except asyncio.QueueFull:
            self.dropped += 1
            logger.warning("notifications come faster than they can be written; %d dropped so far", self.dropped)

    async def run(self) -> None:
        """Write until cancelled."""
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


def _notification(notice: Notice) -> Notification:
    now = time.time()
    match notice:
        case api.NotifyChange(instance=instance, n=node, old=old, new=new):
            return Notification(NotificationKind.CHANGE, now, instance, node.name, old=old, new=new)
        case api.NotifyError(instance=instance, msg=message, node=name):
            return Notification(NotificationKind.ERROR, now, instance, name, message)
        case api.NotifyLog(instance=instance, msg=message, node=name):
            return Notification(NotificationKind.LOG, now, instance, name, message)
