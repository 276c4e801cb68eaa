"""Which instances are part of the cluster, and which a deployment would like to have."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from zeekfleet.controller.dialling import Dialling
from zeekfleet.controller.instances import Instances
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
        changed: notified whenever an instance comes, goes or is ready.
    """

    def __init__(self, instances: Instances, dialling: Dialling, welcoming: Welcoming, changed: Signal) -> None:
        self._instances = instances
        self._dialling = dialling
        self._welcoming = welcoming
        self._changed = changed
        self._former: tuple[Instance, ...] = ()

    def plan(self, configuration: Configuration) -> Plan:
        """What the configuration would change."""
        return make_plan(self._instances.configured, configuration.instances)

    @contextmanager
    def meeting(self, instances: Iterable[Instance]) -> Iterator[None]:
        """Connect to instances for as long as the body runs; at its end, forget those that were not adopted.

        Until :meth:`adopt`, the instances of the running cluster stay configured, ready and connected. Instances that
        move keep the connection to their former place until the end, so that the agent there hears that it is to
        stand by.
        """
        met = {instance.name: instance for instance in instances}
        self._instances.met = met
        self._connect()
        try:
            yield
        finally:
            self._instances.met, self._former = {}, ()
            self._connect()
            for name in met.keys() - self._instances.configured.keys():
                self._instances.unwelcome(name)

    def welcome_all(self) -> None:
        """Welcome the agents of the instances to be met that are known and were not welcomed yet."""
        for name in self._instances.met:
            self._welcoming.welcome(name)

    def missing(self) -> dict[str, str]:
        """The instances to be met that are not ready, with what is known of each, sorted by name."""
        return self._instances.missing()

    def adopt(self, configuration: Configuration, plan: Plan) -> None:
        """Make the configuration's instances the current ones.

        The agents of instances that leave stand by, and so does the former agent of one that has another one now.
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
        self._former = tuple(former[name] for name in (*plan.stay, *plan.move))
        self._connect()
        self._changed.notify()

    def _connect(self) -> None:
        current, met = self._instances.configured.values(), self._instances.met.values()
        self._dialling.connect_to((*self._former, *current, *met))
