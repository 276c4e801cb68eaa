"""``Zeekfleet::``: reading the controller's record of what happened in the cluster, and following it."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event, Request, Response, ResultResponse
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


class DeployerResponse(Response, frozen=True):
    """Who has had a configuration deployed last, and when; nothing is known if ``by`` is empty.

    Attributes:
        reqid: the request's id.
        by: who, and from where, for a person.
        time: when it was deployed, in seconds since 1970.
    """

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::deployer_response"
    by: str
    time: float


class DeployerRequest(Request[DeployerResponse], frozen=True):
    """Ask who has had the configuration with this id deployed."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::deployer_request"
    config: str
