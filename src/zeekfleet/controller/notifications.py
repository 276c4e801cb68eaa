"""Stores what happens, in the background, and publishes it to clients."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable

import msgspec

from zeekfleet.broker import topics
from zeekfleet.broker.events import agent as api
from zeekfleet.broker.events.notifications import (
    DeployerRequest,
    DeployerResponse,
    NotificationKept,
    NotificationsRequest,
    NotificationsResponse,
)
from zeekfleet.errors import StoreError
from zeekfleet.model.management import Result
from zeekfleet.model.names import LONGEST_NAME
from zeekfleet.model.notifications import Notification, NotificationKind
from zeekfleet.store.interface import Store
from zeekfleet.transport.bus import Bus
from zeekfleet.transport.rates import Rate
from zeekfleet.transport.service import Context, handler

logger = logging.getLogger(__name__)

QUEUE_LIMIT = 10_000
"""The most notifications that wait to be written. Further ones are dropped, with a log line."""

LARGEST_ANSWER = 4 * 2**20
"""The size of one answer in bytes, roughly. If there are more notifications, it has the latest ones."""

NOTIFICATION_SIZE = 512
"""The bytes of a notification on the wire without its message, roughly."""

RATED_MAX = 10_000
"""The most instances whose rates are measured. If there are more, all rates are reset."""


class NotificationLimits(msgspec.Struct, frozen=True):
    """How many notifications agents may send.

    Attributes:
        size: the most characters of a message that are stored and logged.
        per_second: the most notifications of one instance per second, on average.
        burst: how many notifications of one instance may arrive at once, such as when all its nodes start.
    """

    size: int = 4096
    per_second: float = 100.0
    burst: int = 5000


Notice = api.NotifyChange | api.NotifyError | api.NotifyLog


class NotificationKeeper:
    """Writes notifications one after the other, in a thread, and publishes each once it is written.

    Args:
        bus: where they are published.
        store: where they are kept.
        limits: how many notifications agents may send.
    """

    def __init__(self, bus: Bus, store: Store, limits: NotificationLimits | None = None) -> None:
        self._bus = bus
        self._store = store
        self._limits = limits or NotificationLimits()
        self._rates: dict[str, Rate] = {}
        self._beyond: Counter[str] = Counter()
        self._queue: asyncio.Queue[Notification] = asyncio.Queue(QUEUE_LIMIT)
        self.dropped = 0
        self._lost = 0

    def heard(self, notice: Notice) -> None:
        """Log an agent's notification, and queue it for the store; returns at once."""
        if not self._is_within_rate(notice.instance):
            return
        notification = _notification(notice)
        notification = msgspec.structs.replace(
            notification,
            node=_cut(notification.node, LONGEST_NAME),
            message=_cut(notification.message, self._limits.size),
        )
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
        """Record that an instance's agent has connected."""
        self._keep(Notification(NotificationKind.CONNECTED, time.time(), instance, message=sentence))

    def gone(self, instance: str, reason: str) -> None:
        """Record that an instance's agent has disconnected."""
        self._keep(Notification(NotificationKind.GONE, time.time(), instance, message=reason))

    def deployed(self, config: str, sentence: str, *, success: bool, by: str = "") -> None:
        """Record the outcome of a deployment, and who asked for it."""
        kind = NotificationKind.DEPLOYMENT
        self._keep(Notification(kind, time.time(), message=sentence, config=config, success=success, by=by))

    def failed(self, controller: str, error: str) -> None:
        """Record an error of the controller itself."""
        self._keep(Notification(NotificationKind.ERROR, time.time(), controller, message=error))

    @handler
    async def notifications(self, request: NotificationsRequest, context: Context) -> NotificationsResponse:
        """Return the latest notifications."""
        kept = await asyncio.to_thread(self._store.notifications)
        since = time.time() - request.seconds
        latest = _latest(one for one in reversed(kept) if one.time >= since)
        return NotificationsResponse(request.reqid, Result(request.reqid, data=latest))

    @handler
    async def deployer(self, request: DeployerRequest, context: Context) -> DeployerResponse:
        """Return who asked for the deployment of a configuration, as long as that is stored."""
        kept = await asyncio.to_thread(self._store.notifications)
        for one in reversed(kept):
            if one.kind == NotificationKind.DEPLOYMENT and one.config == request.config and one.success and one.by:
                return DeployerResponse(request.reqid, one.by, one.time)
        return DeployerResponse(request.reqid, "", 0.0)

    async def run(self) -> None:
        """Write and publish until cancelled."""
        while True:
            notification = await self._queue.get()
            try:
                await asyncio.to_thread(self._store.record, notification)
            except StoreError as error:
                # Log this only once: on a full disk, more lines would take the last room.
                if not self._lost:
                    logger.error("notifications are not kept: %s", error, extra={"error": str(error)})
                self._lost += 1
            else:
                if self._lost:
                    logger.warning("notifications are kept again, after %d that were not", self._lost)
                self._lost = 0
            self._bus.publish(topics.NOTIFICATIONS, NotificationKept(notification))

    def _is_within_rate(self, instance: str) -> bool:
        """Whether a notification is within the rate of its instance. Others are counted; the count is logged later."""
        rate = self._rates.get(instance)
        if rate is None:
            if len(self._rates) >= RATED_MAX:
                self._rates.clear()
                self._beyond.clear()
            rate = self._rates[instance] = Rate(self._limits.per_second, self._limits.burst)
        facts = {"instance": instance}
        if rate.take():
            if beyond := self._beyond.pop(instance, 0):
                logger.warning(
                    "instance %s told too much: %d notifications were not kept", instance, beyond, extra=facts
                )
            return True
        self._beyond[instance] += 1
        if self._beyond[instance] == 1:
            allowed = self._limits.per_second
            logger.warning(
                "instance %s tells more than %g things a second: not all is kept", instance, allowed, extra=facts
            )
        return False

    def _keep(self, notification: Notification) -> None:
        # Errors may contain file names that are not UTF-8. Neither the store nor the protocol accepts these.
        message = notification.message.encode(errors="replace").decode()
        try:
            self._queue.put_nowait(msgspec.structs.replace(notification, message=message))
        except asyncio.QueueFull:
            self.dropped += 1
            logger.warning("notifications come faster than they can be written; %d dropped so far", self.dropped)


def _cut(text: str, size: int) -> str:
    """The text, cut to ``size`` characters; if it was longer, it says how many are missing."""
    return text if len(text) <= size else f"{text[:size]}… ({len(text) - size} more characters)"


def _latest(notifications: Iterable[Notification]) -> tuple[Notification, ...]:
    """As many notifications as fit into one answer, the oldest first. ``notifications`` begins with the latest."""
    found: list[Notification] = []
    size = 0
    for notification in notifications:
        size += NOTIFICATION_SIZE + len(notification.message)
        if size > LARGEST_ANSWER:
            break
        found.append(notification)
    return tuple(reversed(found))


def _notification(notice: Notice) -> Notification:
    now = time.time()
    match notice:
        case api.NotifyChange(instance=instance, n=node, old=old, new=new):
            return Notification(NotificationKind.CHANGE, now, instance, node.name, old=old, new=new)
        case api.NotifyError(instance=instance, msg=message, node=name):
            return Notification(NotificationKind.ERROR, now, instance, name, message)
        case api.NotifyLog(instance=instance, msg=message, node=name):
            return Notification(NotificationKind.LOG, now, instance, name, message)
