"""What a deployment needs of the controller's connections while it is under way: an immutable value."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from zeekfleet.model.management import Instance


class Meeting(msgspec.Struct, frozen=True):
    """The instances that are part of a deployment, beside those of the cluster.

    Attributes:
        wanted: those that the deployment looks for; none once they are the cluster's.
        former: the places of instances that stay or move, as they were before; none until they are adopted.
    """

    wanted: tuple[Instance, ...] = ()
    former: tuple[Instance, ...] = ()

    def connections(self, cluster: Iterable[Instance]) -> tuple[Instance, ...]:
        """The instances to be connected to meanwhile; where several have one place, the connection is for the first."""
        return (*self.former, *cluster, *self.wanted)


NO_MEETING = Meeting()
"""No deployment is under way: only the cluster's instances count."""
