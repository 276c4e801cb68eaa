"""Cluster management for Zeek, outside Zeek.

    from zeekfleet import Client, Configuration

Both are loaded when they are first used, so that importing this package stays cheap.
"""

from __future__ import annotations

from zeekfleet.version import __version__

TYPE_CHECKING = False  # defined here, because importing ``typing`` takes time; type checkers know the name
if TYPE_CHECKING:
    from zeekfleet.client.client import Client
    from zeekfleet.model.management import Configuration

__all__ = ["Client", "Configuration", "__version__"]


def __getattr__(name: str) -> object:
    match name:
        case "Client":
            from zeekfleet.client.client import Client  # noqa: PLC0415 - it imports asyncio and the transport

            return Client
        case "Configuration":
            from zeekfleet.model.management import Configuration  # noqa: PLC0415 - it imports msgspec

            return Configuration
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
