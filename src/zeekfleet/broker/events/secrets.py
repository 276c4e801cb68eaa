"""``Zeekfleet::``: secrets for agents, sent on topics that clients cannot subscribe to."""

from __future__ import annotations

from typing import ClassVar

from zeekfleet.broker.events.base import Event
from zeekfleet.model.curve import CurveKeys


class ClusterKeys(Event, frozen=True):
    """The keys for the configurations that follow; the agent keeps them until it receives others."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::cluster_keys"
    keys: CurveKeys
