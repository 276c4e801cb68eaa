"""``Zeekfleet::``: what happened, as the controller keeps it."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event, Request, ResultResponse
from zeekfleet.model.notifications import Notification


class NotificationsResponse(ResultResponse, frozen=True):
    """``result.data`` is a vector of ``model.notifications.Notification``, the oldest first."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::notifications_response"


class NotificationsRequest(Request[NotificationsResponse], frozen=True):
    """Tell what happened in the last so many seconds, by the controller's clock."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::notifications_request"
    seconds: float


class NotificationKept(Event, frozen=True):
    """Something happened. The controller publishes this on a topic of its own once the notification is in its store."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::notification_kept"
    notification: Notification
