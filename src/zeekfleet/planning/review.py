"""Finds probable mistakes in a configuration that is valid.

``check`` reports them as errors, a deployment as warnings. The controller accepts such configurations, as Zeek's own
does: they may be on purpose, such as in a test.
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
"""The most nodes that one sentence names."""

AF_PACKET = "af_packet::"
FANOUT_ID = "AF_Packet::fanout_id"
FANOUT = "AF_Packet::enable_fanout"
DEFAULT_FANOUT_ID = "23"
"""Zeek's own default."""


def review(configuration: Configuration) -> tuple[str, ...]:
    """The probable mistakes, one sentence each; none in a configuration without nodes."""
    if not configuration.nodes:
        return ()
    return (*_managers(configuration.nodes), *_idle_workers(configuration.nodes), *_fanout(configuration))


def missing_logs(configuration: Configuration) -> tuple[str, ...]:
    """The logs that real Zeeks will not write because a kind of node is missing; one sentence each.

    This is not a mistake: not everybody wants these logs.
    """
    roles = {node.role for node in configuration.nodes}
    if ClusterRole.WORKER in roles and ClusterRole.PROXY not in roles:
        return (NO_PROXY,)
    return ()


NO_PROXY = (
    "there is no proxy: known_hosts.log, known_services.log, known_certs.log and software.log are not written, since"
    " Zeek's workers hand what they find for these to proxies"
)
"""Zeek's ``policy/protocols/conn/known-hosts.zeek`` and similar scripts, and ``base/frameworks/software``, publish
to the pool of proxies. Without a proxy, what they publish is dropped."""


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
    """Find AF_PACKET workers of one host that should not have the same fanout id.

    The kernel distributes an interface's packets among all workers with the same fanout id (packet(7)). Workers of
    different interfaces need different ids: the kernel refuses an id that another interface uses. Workers of one
    interface that do different work also need different ids, because otherwise none of them sees all packets.
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
    """What workers that share an interface's packets must have in common."""

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
    """The Zeek settings on the node's command line, as names and values."""
    yield from ((option.name, option.value) for option in node.options or ())
    for script in node.scripts or ():
        name, equals, value = script.partition("=")
        if equals:
            yield name, value


def _host(configuration: Configuration, node: Node) -> str:
    """The host that the node runs on: its instance's address, or the instance's name if the address is unknown."""
    hosts = {instance.name: instance.host for instance in configuration.instances}
    host = hosts.get(node.instance, UNSPECIFIED)
    return node.instance if host == UNSPECIFIED else host


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:LISTED])
    return f"{shown} and {len(names) - LISTED} more" if len(names) > LISTED else shown
