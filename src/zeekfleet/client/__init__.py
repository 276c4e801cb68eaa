"""Talking to a controller: the asynchronous API for programs, and what the command line is made of.

    from zeekfleet.client import Client

    async with Client("127.0.0.1", 2149) as client:
        outcome = await client.deploy_config(configuration)

``client`` (that API), ``results`` (what comes back, typed), ``report`` (the same as
zeek-client's JSON documents), ``link`` (a light synchronous connection for the
verbs), ``settings`` and ``tls`` (zeek-client's own settings). Importing this
package costs nothing: the API is loaded at its first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zeekfleet.client.client import Client

__all__ = ["Client"]


def __getattr__(name: str) -> Any:
    if name == "Client":
        from zeekfleet.client.client import Client  # noqa: PLC0415 - it brings asyncio and the WebSocket server

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
