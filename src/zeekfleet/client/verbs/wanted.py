"""What should run, and which instances are connected (``client/wanted.py``)."""

from __future__ import annotations

import time

from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.controller import GetInstancesRequest
from zeekfleet.broker.events.presence import PresenceRequest, PresenceResponse
from zeekfleet.client.verbs.get_config import GetConfigVerb
from zeekfleet.client.verbs.get_instances import read_instances
from zeekfleet.client.wanted import Wanted
from zeekfleet.errors import RequestFailedError
from zeekfleet.model.management import Configuration, fresh_id


class WantedVerb(GetConfigVerb):
    """Asks what should run."""

    async def wanted(self) -> Wanted:
        """What should run, and which instances are connected; the controller answers all of it at once."""
        asked = PresenceRequest(fresh_id())
        heard: list[PresenceResponse] = []

        def watch(_: str, event: Event) -> bool:
            if isinstance(event, PresenceResponse) and event.reqid == asked.reqid:
                heard.append(event)
            return False

        with self.watching(watch):
            # If the controller knows this request, its answer comes before that of the next one. So there is no need
            # to wait for it, and a controller that does not know it costs no time.
            self.tell(asked)
            instances = (await self.ask(GetInstancesRequest(fresh_id()))).result
            try:
                configuration = await self.get_configuration(deployed=True)
            except RequestFailedError:
                configuration = Configuration()
        if heard:
            presences = {one.name: one for one in heard[-1].instances}
            connected = frozenset(name for name, one in presences.items() if one.connected)
            age = time.time() - heard[-1].now
            return Wanted(configuration, presences, connected, instances, age, heard[-1].insecure)
        try:
            connected = frozenset(instance.name for instance in read_instances(instances))
        except RequestFailedError:
            connected = frozenset()
        return Wanted(configuration, None, connected, instances)
