"""Which nodes are meant: names, and groups such as ``workers`` (``node_groups``)."""

from __future__ import annotations

from collections.abc import Collection

from zeekfleet.client.node_groups import Member, may_be_group, members_of, resolve
from zeekfleet.client.verbs.get_config import GetConfigVerb
from zeekfleet.errors import RequestFailedError


class ResolveVerb(GetConfigVerb):
    """Finds the nodes that are meant."""

    async def resolve(self, nodes: Collection[str]) -> frozenset[str]:
        """The names of the nodes that are meant; what is deployed is asked only where that is needed to tell."""
        if not any(map(may_be_group, nodes)):
            return frozenset(nodes)
        return resolve(nodes, await self.deployed_nodes())

    async def deployed_nodes(self) -> tuple[Member, ...]:
        """The nodes that are deployed; none if nothing is."""
        try:
            return members_of(await self.get_configuration(deployed=True))
        except RequestFailedError:
            return ()
