"""Parses the setting ``agent.controller``, the address of the agent's controller."""

from __future__ import annotations

from zeekfleet.errors import SettingsError
from zeekfleet.model.addresses import numeric_host_problem
from zeekfleet.model.defaults import CONTROLLER_PORT
from zeekfleet.model.types import UNSPECIFIED

NO_CONTROLLER = ("none", UNSPECIFIED)
"""Values that mean that the agent waits for the controller to connect. The protocol uses the address for this."""


def parse_controller(text: str) -> tuple[str, int] | None:
    """Host and port from ``HOST:PORT`` or ``[v6]:PORT``, by default port 2150; None for ``none``.

    Raises:
        SettingsError: the text has another form.
    """
    if text in NO_CONTROLLER:
        return None
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(CONTROLLER_PORT)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""  # an IPv6 address needs its brackets, or the port could be a part of it
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) <= 65535):
        raise SettingsError("agent.controller", f"'{text}' is neither HOST, nor HOST:PORT, nor none")
    if problem := numeric_host_problem(host):
        raise SettingsError("agent.controller", f"'{text}' is wrong, expected {problem}")
    return None if host in NO_CONTROLLER else (host, int(port))
