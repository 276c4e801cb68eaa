"""Have the controller let a request time out."""

from __future__ import annotations

from zeekfleet.broker.events.controller import TestTimeoutRequest
from zeekfleet.client.carrier import Carrier
from zeekfleet.client.results import Document
from zeekfleet.client.views import BUSY, GOOD, Note, View
from zeekfleet.model.management import Result, fresh_id


class TestTimeoutVerb(Carrier):
    """Asks the controller for a time-out."""

    async def test_timeout(self, *, with_state: bool = False, timeout: float | None = None) -> Result:  # noqa: PT028 - no test
        """Have the controller let a request time out; without state it never answers.

        Raises:
            RequestTimeoutError: it did not answer within ``timeout`` here.
        """
        request = TestTimeoutRequest(fresh_id(), with_state)
        return (await self.ask(request, timeout=timeout)).result


def document(result: Result) -> Document:
    """``{"success", "error"}``."""
    return {"success": result.success, "error": result.error}


def view(result: Result) -> View:
    """The controller's answer."""
    return [Note("success", GOOD) if result.success else Note(f"answered: {result.error}", BUSY)]
