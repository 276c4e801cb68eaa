"""Who may ask an agent for what: all peers may read, but only one controller at a time may change something."""

from __future__ import annotations

import logging
from collections.abc import Callable

from zeekfleet.agent.served_controller import ServedController
from zeekfleet.broker.events import agent as api
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.refusals import AgentRefused, DeploymentNumber
from zeekfleet.broker.events.stops import AgentHurry
from zeekfleet.model.dispatches import MISSING_PEERS, NET_STATS, PEER_STATS
from zeekfleet.transport.bus import Peer
from zeekfleet.transport.service import Context, handler

logger = logging.getLogger(__name__)

ORDERS = (
    api.AgentWelcomeRequest,
    api.AgentStandbyRequest,
    api.DeployRequest,
    api.SetConfigurationRequest,
    api.RestartRequest,
    AgentHurry,
)
"""The requests that change something, or prepare a change. Only the controller that the agent serves may send them."""

READING = ("get_id_value", NET_STATS, PEER_STATS, MISSING_PEERS)
"""The actions of dispatches that change nothing."""

REFUSALS_MAX = 1000
"""The most refusals that are remembered, so that each is logged as an error only once."""


class Permission:
    """The rule by which the agent's service accepts requests.

    The service applies it to each request as it arrives, before it handles any: an order may change which controller
    the agent serves, and so whether the next order is accepted.

    Args:
        instance: the agent's name.
        served_controller: which controller the agent serves.
        on_standby: called with a controller that does not need the agent any more.
    """

    def __init__(self, instance: str, served_controller: ServedController, on_standby: Callable[[Peer], None]) -> None:
        self._instance = instance
        self._served_controller = served_controller
        self._on_standby = on_standby
        self._refused: set[tuple[str, str]] = set()
        self._refused_by: tuple[str, str] | None = None

    def problem(self, event: Event, context: Context) -> str | None:
        """Why a request of this peer is refused; None if it is accepted."""
        if not _is_order(event):
            return None
        problem = self._served_controller.problem(context.peer)
        if problem is None and isinstance(event, api.DeployRequest):
            problem = self._served_controller.superseded(event.reqid)
        if problem is not None:
            self._log_refusal(context.peer, problem)
            return f"instance '{self._instance}': {problem}"
        self._refused_by = None
        if isinstance(event, api.AgentStandbyRequest):
            self._served_controller.release()
            self._on_standby(context.peer)
        return None

    @handler
    def number(self, number: DeploymentNumber, context: Context) -> None:
        """Remember the number of a deployment whose request will follow."""
        self._served_controller.announce(number)

    @handler
    def refused(self, refusal: AgentRefused, context: Context) -> None:
        """Log that a controller does not accept this agent; the nodes keep running."""
        place = context.peer.place
        if self._refused_by != (refusal.reason, place):
            self._refused_by = refusal.reason, place
            text = "the controller at %s refuses this agent, %s: %s"
            facts = {"kind": "connection", "instance": self._instance}
            logger.error(text, place, self._instance, refusal.reason, extra=facts)

    def _log_refusal(self, peer: Peer, reason: str) -> None:
        level = logging.DEBUG if (peer.place, reason) in self._refused else logging.ERROR
        who = f"'{peer.name}' at {peer.place}" if peer.name else peer.place
        text, facts = "orders of %s are refused: instance %s: %s", {"instance": self._instance, "error": reason}
        logger.log(level, text, who, self._instance, reason, extra=facts)
        if len(self._refused) >= REFUSALS_MAX:
            self._refused.clear()
        self._refused.add((peer.place, reason))


def _is_order(event: Event) -> bool:
    if isinstance(event, api.NodeDispatchRequest):
        return not event.action or event.action[0] not in READING
    return isinstance(event, ORDERS)
