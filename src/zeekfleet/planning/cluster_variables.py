"""Environment variables by which an agent tells the engine what all nodes of a cluster have in common.

They name files and ports. Keys are never put there, since others could see them in the node's configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zeekfleet.errors import SettingsError
from zeekfleet.model.defaults import XPUB_PORT, XSUB_PORT
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.model.variables import HUB_PORTS

DEFAULT_HUB_PORTS = (XPUB_PORT, XSUB_PORT)
"""Zeek's own default ports."""


def write_hub_ports(ports: tuple[int, int]) -> str:
    """The variable's value."""
    return f"{ports[0]},{ports[1]}"


def read_hub_ports(environment: Mapping[str, str]) -> tuple[int, int] | None:
    """The two ports in the variable; None if it is not set.

    Raises:
        SettingsError: the variable is not two port numbers.
    """
    text = environment.get(HUB_PORTS, "")
    if not text:
        return None
    numbers = [int(part) for part in text.split(",") if part.isascii() and part.isdigit() and 0 < int(part) <= 65535]
    if len(numbers) != 2:
        raise SettingsError(HUB_PORTS, f"'{text}' is not two port numbers")
    return numbers[0], numbers[1]


def hub_ports_of(configs: Iterable[NodeConfig]) -> tuple[int, int] | None:
    """The hub's ports that running nodes were launched with; None if none of them has the variable."""
    for config in configs:
        try:
            found = read_hub_ports(config.env)
        except SettingsError:
            continue
        if found is not None:
            return found
    return None
