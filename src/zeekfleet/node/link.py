"""The two environment variables by which an agent and a node find each other; the agent sets them.

A simulated node dials its agent at :data:`AGENT_LINK`, gives its name in
``X-Application-Name``, and uses the topic ``zeek/management/node``. A real Zeek
cannot dial by WebSocket. It listens on loopback, at :data:`WEBSOCKET_PORT`, and the
agent dials it. Nodes that must not listen do not have that variable.
"""

from __future__ import annotations

from collections.abc import Mapping

from zeekfleet.errors import SettingsError
from zeekfleet.model.variables import AGENT_LINK, WEBSOCKET_PORT


def agent_link(environment: Mapping[str, str]) -> tuple[str, int] | None:
    """The agent's address: host and port, or ``unix:PATH`` and 0; None if the node has no agent.

    Raises:
        SettingsError: the variable has neither form.
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
    """The port to listen on; None if the node must not listen.

    Raises:
        SettingsError: the variable is not a port number.
    """
    text = environment.get(WEBSOCKET_PORT, "")
    return _port(WEBSOCKET_PORT, text) if text else None


def _port(variable: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) <= 65535):
        raise SettingsError(variable, f"'{text}' is no port number from 1 to 65535")
    return int(text)
