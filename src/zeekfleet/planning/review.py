"""What is hardly meant in a configuration that could be deployed all the same.

``check`` tells of it as of an error, a deployment as a warning. The controller takes such configurations: it may be
somebody's test, and zeek-client may send what it likes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.management import Configuration, Node
from zeekfleet.model.types import UNSPECIFIED
from zeekfleet.model.variables import PCAP_FILE
from zeekfleet.planning import node_settings

LISTED = 10
"""How many nodes a sentence names at most."""

AF_PACKET = "af_packet::"
FANOUT_ID = "AF_Packet::fanout_id"
FANOUT = "AF_Packet::enable_fanout"
DEFAULT_FANOUT_ID = "23"
"""Zeek's own."""


def review(configuration: Configuration) -> tuple[str, ...]:
    """What its writer should know, a sentence each; empty for a configuration without nodes."""
    if not configuration.nodes:
        return ()
    return (*_managers(configuration.nodes), *_idle_workers(configuration.nodes), *_fanout(configuration))


def losses(configuration: Configuration) -> tuple[str, ...]:
    """What real Zeeks would not write, because of nodes that are not there; a sentence each.

    No mistake: who wants none of it is well served.
    """
    roles = {node.role for node in configuration.nodes}
    if ClusterRole.WORKER in roles and ClusterRole.PROXY not in roles:
        return (NO_PROXY,)
    return ()


NO_PROXY = (
    "there is no proxy: known_hosts.log, known_services.log, known_certs.log and software.log are not written, since"
    " Zeek's workers hand what they find for these to proxies"
)
"""Zeek's ``policy/protocols/conn/known-hosts.zeek`` and its kin, ``base/frameworks/software``: they publish to the
proxies' pool, and what is published to an empty pool is dropped."""


def _managers(nodes: Sequence[Node]) -> Iterator[str]:
    managers = sorted(node.name for node in nodes if node.role is ClusterRole.MANAGER)
    if not managers:
        yield "there is no manager: a Zeek cluster needs one"
    elif len(managers) > 1:
        yield f"there are several managers, {_names(managers)}: a Zeek cluster has one"


def _idle_workers(nodes: Sequence[Node]) -> Iterator[str]:
    workers = (node for node in nodes if node.role is ClusterRole.WORKER)
    idle = sorted(node.name for node in workers if not node.interface and not node.env.get(PCAP_FILE))
    if idle:
        kind = "worker" if len(idle) == 1 else "workers"
        yield f"{kind} {_names(idle)} with neither interface nor pcap_file: there is nothing to read"


def _fanout(configuration: Configuration) -> Iterator[str]:
    """Workers on AF_PACKET of one host that have the same fanout id share one interface's packets: each gets a part.

    So every interface needs an id of its own: the kernel refuses one that another interface has. And workers of one
    interface that do different work need different ids, or none of them would see all packets (packet(7)).
    """
    groups: dict[tuple[str, str], dict[_Group, list[str]]] = {}
    for node in sorted(configuration.nodes, key=lambda node: node.name):
        settings = dict(_zeek_settings(node))
        if (node.interface or "").startswith(AF_PACKET) and settings.pop(FANOUT, "T") == "T":
            place = _host(configuration, node), settings.pop(FANOUT_ID, DEFAULT_FANOUT_ID)
            groups.setdefault(place, {}).setdefault(_group(node, settings), []).append(node.name)
    for (_, number), found in sorted(groups.items()):
        if len(found) < 2:
            continue
        names = " and ".join(_names(workers) for workers in found.values())
        if len({group.interface for group in found}) > 1:
            text = "read from different interfaces with the same fanout id {}, which the kernel refuses"
        else:
            text = "do different work and share the packets of one interface by fanout id {}, so that none sees all"
        yield f"{names} {text.format(number)}: give each group a {FANOUT_ID} of its own, among its scripts"


class _Group(msgspec.Struct, frozen=True):
    """What workers have in common that share the packets of an interface."""

    interface: str
    scripts: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    variables: tuple[tuple[str, str], ...]


def _group(node: Node, settings: Mapping[str, str]) -> _Group:
    return _Group(
        node.interface or "",
        tuple(script for script in node.scripts or () if "=" not in script),
        tuple(sorted(settings.items())),
        tuple(sorted((key, value) for key, value in node.env.items() if key not in node_settings.VARIABLES)),
    )


def _zeek_settings(node: Node) -> Iterator[tuple[str, str]]:
    """The settings of Zeek's that the node is given on its command line."""
    yield from ((option.name, option.value) for option in node.options or ())
    for script in node.scripts or ():
        name, equals, value = script.partition("=")
        if equals:
            yield name, value


def _host(configuration: Configuration, node: Node) -> str:
    """Where the node runs: an address, or its instance as long as that has none."""
    hosts = {instance.name: instance.host for instance in configuration.instances}
    host = hosts.get(node.instance, UNSPECIFIED)
    return node.instance if host == UNSPECIFIED else host


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:LISTED])
    return f"{shown} and {len(names) - LISTED} more" if len(names) > LISTED else shown
