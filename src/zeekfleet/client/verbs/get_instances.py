"""The connected instances."""

from __future__ import annotations

from collections.abc import Iterable

from zeekfleet.broker.events.controller import GetInstancesRequest
from zeekfleet.broker.generations import SECOND
from zeekfleet.client.carrier import Carrier
from zeekfleet.client.node_cells import standing_cell
from zeekfleet.client.results import Document, expect_data
from zeekfleet.client.views import ABSENT, FAINT, Cell, Note, Table, View, port_cell
from zeekfleet.client.wanted import Wanted
from zeekfleet.model.management import Instance, Result, fresh_id
from zeekfleet.model.types import UNSPECIFIED


class GetInstancesVerb(Carrier):
    """Asks for the connected instances."""

    async def get_instances(self) -> tuple[Instance, ...]:
        """The connected instances, sorted by name.

        Raises:
            RequestFailedError: the controller could not answer.
            ValueMismatchError: the data is not a vector of instances.
        """
        request = GetInstancesRequest(fresh_id())
        return read_instances((await self.ask(request)).result)


def read_instances(result: Result) -> tuple[Instance, ...]:
    """The instances in a ``get_instances_response``, sorted by name.

    Raises:
        RequestFailedError: the controller could not answer.
        ValueMismatchError: the data is not a vector of instances.
    """
    data = expect_data(result, "instances")
    return tuple(sorted(SECOND.codec.sequence_from_value(data, Instance), key=lambda instance: instance.name))


def document(found: Iterable[Instance]) -> Document:
    """``{NAME: {"host", "port"}}``, each only where it is known."""
    return {instance.name: _instance(instance) for instance in found}


def view(found: Iterable[Instance], wanted: Wanted | None = None, now: float = 0.0) -> View:
    """A row for each instance; a port only where the controller connects to the agent.

    Args:
        found: the connected instances.
        wanted: what should run, if that is known; then instances that should be connected have rows, too.
        now: the time, in seconds since 1970.
    """
    known = {instance.name: instance for instance in found}
    configured = {instance.name: instance for instance in wanted.configuration.instances} if wanted else {}
    rows = tuple(
        (
            Cell(instance.name),
            ABSENT if instance.host == UNSPECIFIED else Cell(str(instance.host)),
            port_cell(instance.listen_port),
            *([standing_cell(wanted, name, now)] if wanted else []),
        )
        for name, instance in sorted((configured | known).items())
    )
    columns = ("INSTANCE", "HOST", "PORT", *(["STATE"] if wanted else []))
    return [Table(columns, rows)] if rows else [Note("no instances connected", FAINT)]


def _instance(instance: Instance) -> Document:
    if instance.listen_port is not None:
        return {"host": str(instance.host), "port": instance.listen_port.number}
    return {} if instance.host == UNSPECIFIED else {"host": str(instance.host)}
