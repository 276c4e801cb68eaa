"""How agent and node find each other: two environment variables, set by the agent.

A simulated node dials its agent (:data:`AGENT_LINK`), names itself in
``X-Application-Name``, and talks on topic ``zeek/management/node``. A real Zeek
cannot dial out by WebSocket, so it listens on loopback (:data:`WEBSOCKET_PORT`)
and the agent dials it; the variable is absent for nodes that must not listen.
"""

from __future__ import annotations

from collections.abc import Mapping

from zeekfleet.errors import SettingsError
from zeekfleet.model.variables import AGENT_LINK, WEBSOCKET_PORT


def agent_link(environment: Mapping[str, str]) -> tuple[str, int] | None:
    """Where to dial: host and port, or ``unix:PATH`` and 0, or None when there is no agent.

    Raises:
        SettingsError: the variable holds neither form.
    """
    text = environment.get(AGENT_LINK, "")
    if not text:
        return None
    if text.startswith("unix:"):
        if len(text) == len("unix:"):
            raise SettingsError(AGENT_LINK, "a path must follow 'unix:'")
        return text, 0
    host, _, port = text.rpartition(":")
    if not host:
        raise SettingsError(AGENT_LINK, f"'{text}' is neither unix:PATH nor HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), _port(AGENT_LINK, port)


def websocket_port(environment: Mapping[str, str]) -> int | None:
    """The port to listen on, or None when the node must not listen.

    Raises:
        SettingsError: the variable holds no port number.
    """
    text = environment.get(WEBSOCKET_PORT, "")
    return _port(WEBSOCKET_PORT, text) if text else None


def _port(variable: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) <= 65535):
        raise SettingsError(variable, f"'{text}' is no port number from 1 to 65535")
    return int(text)
