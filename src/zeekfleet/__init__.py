"""Cluster management for Zeek, outside Zeek.

    from zeekfleet import Client, read_configuration

Both are loaded when they are first used, so that importing this package stays cheap.
"""

from __future__ import annotations

from zeekfleet.version import __version__

TYPE_CHECKING = False  # as ``typing`` has it, without the time to import that
if TYPE_CHECKING:
    from zeekfleet.client.client import Client
    from zeekfleet.client.config_file import read_configuration

__all__ = ["Client", "__version__", "read_configuration"]


def __getattr__(name: str) -> object:
    match name:
        case "Client":
            from zeekfleet.client.client import Client  # noqa: PLC0415 - it imports asyncio and the transport

            return Client
        case "read_configuration":
            from zeekfleet.client.config_file import read_configuration  # noqa: PLC0415 - it imports the parser

            return read_configuration
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
