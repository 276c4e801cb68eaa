"""``Zeekfleet::``: reading the controller's record of what happened in the cluster, and following it."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event, Request, ResultResponse
from zeekfleet.model.notifications import Notification


class NotificationsResponse(ResultResponse, frozen=True):
    """``result.data`` is a vector of ``model.notifications.Notification``, the oldest first."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::notifications_response"


class NotificationsRequest(Request[NotificationsResponse], frozen=True):
    """Ask for everything that happened in the last ``seconds``, by the controller's clock."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::notifications_request"
    seconds: float


class NotificationKept(Event, frozen=True):
    """Something happened. Published on ``zeekfleet/notifications`` once it is in the controller's store."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::notification_kept"
    notification: Notification
