"""What must be done so that what runs is what should: pure, and nothing more than needed."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from zeekfleet.lifecycle.order import start_groups, stop_groups
from zeekfleet.model.supervisor import NodeConfig


class Actions(msgspec.Struct, frozen=True):
    """The way from one set of nodes to another.

    Attributes:
        destroy: nodes that left, in stop order.
        replace: nodes that are launched differently (all of them, if forced), in start order.
        create: nodes that came, in start order.
    """

    destroy: tuple[NodeConfig, ...] = ()
    replace: tuple[NodeConfig, ...] = ()
    create: tuple[NodeConfig, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.destroy or self.replace or self.create)


def reconcile(desired: Mapping[str, NodeConfig], actual: Mapping[str, NodeConfig], force: bool = False) -> Actions:
    """Compare, and touch only nodes that left, came or differ; both mappings are keyed by node name.

    A node differs if any field does, its cluster table included, since it is launched with all of them.
    With ``force`` every node that stays is replaced.
    """
    left = [config for name, config in actual.items() if name not in desired]
    came = [config for name, config in desired.items() if name not in actual]
    changed = [config for name, config in desired.items() if name in actual and (force or config != actual[name])]
    return Actions(
        destroy=tuple(config for group in stop_groups(left) for config in group),
        replace=tuple(config for group in start_groups(changed) for config in group),
        create=tuple(config for group in start_groups(came) for config in group),
    )
