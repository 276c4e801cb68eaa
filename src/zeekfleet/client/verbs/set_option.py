"""Change an option of running nodes."""

from __future__ import annotations

from collections.abc import Collection

from zeekfleet.client.verbs.dispatching import Dispatched, DispatchVerb, table
from zeekfleet.client.views import Cell, View
from zeekfleet.model.dispatches import SET_OPTION, OptionChange


class SetOptionVerb(DispatchVerb):
    """Changes options."""

    async def set_option(
        self, name: str, value: str, nodes: Collection[str] = (), *, timeout: float | None = None
    ) -> Dispatched:
        """Change an option of Zeek's configuration framework: a ``model.dispatches.OptionChange`` for each node.

        Args:
            name: the option's name, such as ``Notice::mail_dest``.
            value: its new value as text; elements of sets and vectors are separated by commas.
            nodes: names and groups; none: all.
            timeout: in seconds; None: the client's own.
        """
        return await self.dispatch((SET_OPTION, name, value), nodes, timeout=timeout)


def view(outcome: Dispatched) -> View:
    """A row for each node."""
    rows = tuple(
        (Cell(node), Cell(found.before), Cell(found.now))
        for node, found in sorted(outcome.nodes.items())
        if isinstance(found, OptionChange)
    )
    return table(("NODE", "BEFORE", "NOW"), rows, outcome)
