"""The instances that a deployment needs connections to while it is under way: an immutable value."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from zeekfleet.model.management import Instance


class Meeting(msgspec.Struct, frozen=True):
    """The instances that a deployment needs in addition to those of the cluster.

    Attributes:
        wanted: the instances that the deployment waits for; none once they are part of the cluster.
        former: instances that stay or move, with their former addresses; none until the new ones are adopted.
    """

    wanted: tuple[Instance, ...] = ()
    former: tuple[Instance, ...] = ()

    def connections(self, cluster: Iterable[Instance]) -> tuple[Instance, ...]:
        """The instances to connect to. If several have the same address and port, the connection is for the first."""
        return (*self.former, *cluster, *self.wanted)


NO_MEETING = Meeting()
"""No deployment is under way: only the cluster's instances count."""
