"""Resolves names and groups of nodes, such as ``workers`` (``node_groups``)."""

from __future__ import annotations

from collections.abc import Collection

from zeekfleet.client.node_groups import Member, may_be_group, members_of, resolve
from zeekfleet.client.verbs.get_config import GetConfigVerb
from zeekfleet.errors import RequestFailedError


class ResolveVerb(GetConfigVerb):
    """Resolves names and groups of nodes."""

    async def resolve(self, nodes: Collection[str]) -> frozenset[str]:
        """The names of the nodes that these words stand for. The controller is asked only if there may be a group."""
        if not any(map(may_be_group, nodes)):
            return frozenset(nodes)
        return resolve(nodes, await self.deployed_nodes())

    async def deployed_nodes(self) -> tuple[Member, ...]:
        """The deployed nodes; none if nothing is deployed."""
        try:
            return members_of(await self.get_configuration(deployed=True))
        except RequestFailedError:
            return ()
