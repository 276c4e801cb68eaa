"""What is known of an instance after another agent has taken its name."""

from __future__ import annotations

from zeekfleet.broker.generations import SECOND
from zeekfleet.controller.instances import Instances
from zeekfleet.controller.presence import Presence
from zeekfleet.store.memory import MemoryStore
from zeekfleet.transport.bus import Peer


async def test_an_instance_that_is_heard_is_not_gone() -> None:
    instances = Instances()
    presence = Presence(None, instances, MemoryStore(), 1.0, lambda: 5.0)  # type: ignore[arg-type]
    presence.went("a")
    instances.hello("a", Peer(1, "", "127.0.0.1", "127.0.0.1:1"), True, SECOND)
    presence.heard("a")
    (told,) = presence.all()
    assert (told.connected, told.heard_at, told.gone_since) == (True, 5.0, None)
