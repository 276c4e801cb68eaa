"""What a configuration would change about the cluster's instances; pure, so that it can be told without being done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from zeekfleet.model.management import Instance
from zeekfleet.model.types import UNSPECIFIED


class Plan(msgspec.Struct, frozen=True):
    """Names of instances, sorted, by what a deployment would mean for each.

    Attributes:
        join: not part of the cluster yet.
        stay: part of it, and still at the same place.
        move: part of it, but at another address or port from now on.
        leave: part of it, and no longer wanted.
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
    """Whether a configuration wants an instance at another place than the present one.

    An address that one of the two does not tell is no difference.
    """
    is_elsewhere = UNSPECIFIED not in (wanted.host, present.host) and wanted.host != present.host
    return is_elsewhere or wanted.listen_port != present.listen_port
