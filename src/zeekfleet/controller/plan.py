"""How a configuration would change the cluster's instances; pure, so that it can be shown without being done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from zeekfleet.model.management import Instance
from zeekfleet.model.types import UNSPECIFIED


class Plan(msgspec.Struct, frozen=True):
    """The sorted names of instances, by what a deployment does with each.

    Attributes:
        join: instances that are not part of the cluster yet.
        stay: instances of the cluster that keep their address and port.
        move: instances of the cluster that get another address or port.
        leave: instances of the cluster that are no longer wanted.
    """

    join: tuple[str, ...] = ()
    stay: tuple[str, ...] = ()
    move: tuple[str, ...] = ()
    leave: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Such as ``a1, a2 stay; a3 joins``; ``no instances`` if there are none."""
        groups = (("join", self.join), ("stay", self.stay), ("move", self.move), ("leave", self.leave))
        told = [f"{', '.join(names)} {verb}{'s' if len(names) == 1 else ''}" for verb, names in groups if names]
        return "; ".join(told) or "no instances"


def make_plan(current: Mapping[str, Instance], wanted: Iterable[Instance]) -> Plan:
    """Compare the instances of the cluster, by name, with those that a configuration names."""
    new = {instance.name: instance for instance in wanted}
    remaining = sorted(new.keys() & current.keys())
    moving = {name for name in remaining if moves(current[name], new[name])}
    return Plan(
        join=tuple(sorted(new.keys() - current.keys())),
        stay=tuple(name for name in remaining if name not in moving),
        move=tuple(name for name in remaining if name in moving),
        leave=tuple(sorted(current.keys() - new.keys())),
    )


def moves(present: Instance, wanted: Instance) -> bool:
    """Whether a configuration gives an instance another address or port than it has now.

    If one of the two addresses is unknown, the addresses count as equal.
    """
    is_elsewhere = UNSPECIFIED not in (wanted.host, present.host) and wanted.host != present.host
    return is_elsewhere or wanted.listen_port != present.listen_port
