"""Variables by which an agent tells the engine what all nodes of a cluster have in common.

They travel in a node's environment, where they name files and ports, never keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zeekfleet.errors import SettingsError
from zeekfleet.model.defaults import XPUB_PORT, XSUB_PORT
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.model.variables import HUB_PORTS

DEFAULT_HUB_PORTS = (XPUB_PORT, XSUB_PORT)
"""Zeek's own."""


def write_hub_ports(ports: tuple[int, int]) -> str:
    """The variable's value."""
    return f"{ports[0]},{ports[1]}"


def read_hub_ports(environment: Mapping[str, str]) -> tuple[int, int] | None:
    """The ports, or None where the variable is absent.

    Raises:
        SettingsError: it holds no two port numbers.
    """
    text = environment.get(HUB_PORTS, "")
    if not text:
        return None
    numbers = [int(part) for part in text.split(",") if part.isascii() and part.isdigit() and 0 < int(part) <= 65535]
    if len(numbers) != 2:
        raise SettingsError(HUB_PORTS, f"'{text}' is not two port numbers")
    return numbers[0], numbers[1]


def hub_ports_of(configs: Iterable[NodeConfig]) -> tuple[int, int] | None:
    """The ports that running nodes use, if they say."""
    for config in configs:
        try:
            found = read_hub_ports(config.env)
        except SettingsError:
            continue
        if found is not None:
            return found
    return None
