"""Stage a configuration."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from zeekfleet.broker.events.controller import StageConfigurationRequest
from zeekfleet.client.carrier import Carrier
from zeekfleet.client.results import NO_REASON, Document, has_data, text_of
from zeekfleet.client.views import GOOD, Note, View, problem
from zeekfleet.model.management import Configuration, Result, fresh_id


class Staged(msgspec.Struct, frozen=True):
    """The outcome of staging: the configuration's id, or what is wrong with it."""

    id: str | None
    errors: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the configuration is staged."""
        return self.id is not None and not self.errors

    def document(self) -> Document:
        """``{"errors": [TEXT], "results": {"id"}}``."""
        return {"results": identified(self.id), "errors": list(self.errors)}


class StageConfigVerb(Carrier):
    """Stages configurations."""

    async def stage(self, configuration: Configuration, *, timeout: float | None = None) -> Staged:
        """Have the controller validate and store a configuration for :meth:`deploy`."""
        request = StageConfigurationRequest(fresh_id(), configuration)
        response = await self.ask(request, timeout=timeout)
        return read_staged(response.results)


def read_staged(results: Iterable[Result]) -> Staged:
    """The outcome in a ``stage_configuration_response``."""
    identifier: str | None = None
    errors = []
    for result in results:
        if not result.success:
            errors.append(result.error or NO_REASON)
        elif has_data(result.data):
            identifier = text_of(result.data)
    return Staged(identifier, tuple(errors))


def view(outcome: Staged) -> View:
    """The id, or what is wrong with the configuration."""
    notes = [problem(error) for error in outcome.errors]
    return [*notes, Note(f"staged configuration {outcome.id}", GOOD)] if outcome.id else notes


def identified(identifier: str | None) -> Document:
    """``{"id"}`` with the id, or ``{}`` if it is None."""
    return {} if identifier is None else {"id": identifier}
