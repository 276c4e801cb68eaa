"""Cluster management for Zeek, outside Zeek.

    from zeekfleet import Client

``Client`` is loaded when it is first used, so that importing this package stays cheap.
"""

from __future__ import annotations

from zeekfleet.version import __version__

TYPE_CHECKING = False  # as ``typing`` has it, without the time to import that
if TYPE_CHECKING:
    from zeekfleet.client.client import Client

__all__ = ["Client", "__version__"]


def __getattr__(name: str) -> type[Client]:
    if name == "Client":
        from zeekfleet.client.client import Client  # noqa: PLC0415 - it imports asyncio and the transport

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
