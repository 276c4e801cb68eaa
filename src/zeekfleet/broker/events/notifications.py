"""``Zeekfleet::``: what happened, as the controller keeps it."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event
from zeekfleet.model.notifications import Notification


class NotificationKept(Event, frozen=True):
    """Something happened. The controller publishes this on a topic of its own once the notification is in its store."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::notification_kept"
    notification: Notification
