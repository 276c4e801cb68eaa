"""Which instances are part of the cluster, and which ones a deployment waits for."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from zeekfleet.controller.dialling import Dialling
from zeekfleet.controller.instances import Instances
from zeekfleet.controller.meeting import NO_MEETING, Meeting
from zeekfleet.controller.plan import Plan, make_plan
from zeekfleet.controller.welcoming import Welcoming
from zeekfleet.model.management import Configuration, Instance
from zeekfleet.waiting import Signal

logger = logging.getLogger(__name__)


class Membership:
    """Takes instances into the cluster and lets them go, with the connections that this needs.

    Args:
        instances: the bookkeeping, which this keeps up to date.
        dialling: connects to agents that do not connect to us.
        welcoming: welcomes agents, and has others stand by.
        changed: notified whenever an instance connects, disconnects or becomes ready.
    """

    def __init__(self, instances: Instances, dialling: Dialling, welcoming: Welcoming, changed: Signal) -> None:
        self._instances = instances
        self._dialling = dialling
        self._welcoming = welcoming
        self._changed = changed

    def plan(self, configuration: Configuration) -> Plan:
        """How the configuration would change the cluster's instances."""
        return make_plan(self._instances.configured, configuration.instances)

    @contextmanager
    def meeting(self, instances: Iterable[Instance]) -> Iterator[Meeting]:
        """Wait for instances and connect to them while the context lasts.

        Until :meth:`adopt`, the instances of the running cluster stay configured, ready and connected. For instances
        that move, the connection to the former address is kept until the end, so that the agent there can be told to
        stand by. At the end, instances that were not adopted are forgotten. If several agents have the same name, only
        the one of the cluster keeps it.
        """
        meeting = Meeting(wanted=tuple(instances))
        self._look_and_connect(meeting)
        try:
            yield meeting
        finally:
            self._look_and_connect(NO_MEETING)
            for instance in meeting.wanted:
                if self._instances.part_namesakes(instance.name):
                    self._welcoming.welcome(instance.name)
                if instance.name not in self._instances.configured:
                    self._instances.unwelcome(instance.name)

    def welcome_all(self, meeting: Meeting) -> None:
        """Welcome the agents of the meeting's instances that are known and have not been welcomed yet."""
        for instance in meeting.wanted:
            self._welcoming.welcome(instance.name)

    def missing(self, meeting: Meeting) -> dict[str, str]:
        """The instances of the meeting that are not ready, with what is known of each, sorted by name."""
        return self._instances.missing(meeting.wanted)

    def adopt(self, configuration: Configuration, plan: Plan) -> Meeting:
        """Make the configuration's instances the current ones.

        Agents of instances that leave are told to stand by. So is the former agent of an instance that has another now.

        Returns:
            The meeting from now on: it waits for no instances, and keeps the connections to former addresses.
        """
        former = self._instances.configured
        links = {name: self._instances.known.get(name) for name in former}
        self._instances.adopt(configuration)
        for name in plan.leave:
            logger.info("dropped instance %s", name, extra={"instance": name})
            self._welcoming.stand_by(links[name])
            self._instances.unwelcome(name)
        for name in (*plan.stay, *plan.move):
            link, present = links[name], self._instances.known.get(name)
            if link is not None and present is not None and not link.is_same_agent(present):
                places = (link.peer.host, present.peer.host)
                logger.info("instance %s has moved from %s to %s", name, *places, extra={"instance": name})
                self._welcoming.stand_by(link)
        meeting = Meeting(former=tuple(former[name] for name in (*plan.stay, *plan.move)))
        self._look_and_connect(meeting)
        self._changed.notify()
        return meeting

    def _look_and_connect(self, meeting: Meeting) -> None:
        """Wait for the instances of this meeting and no others, and keep exactly the connections that it needs."""
        self._instances.look_for(meeting.wanted)
        self._dialling.connect_to(meeting.connections(self._instances.configured.values()))
