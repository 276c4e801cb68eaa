"""Compares what should run with what runs, and returns the fewest actions that are needed, with their reasons."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from zeekfleet.lifecycle.cluster_view import view, without_details
from zeekfleet.lifecycle.order import start_groups, stop_groups
from zeekfleet.model.deployments import KEEP, RESTART, START, STOP, NodeAction
from zeekfleet.model.supervisor import NodeConfig

FORCED = "forced"
"""The reason for replacing a node that has not changed: the client forces it."""

FAILED = "failed"
"""The reason for replacing a node that has not changed but has failed: a deployment tries it again."""

CLUSTER = "cluster"
"""The reason for replacing a node because of others: a node came or left, or has another role or host."""

NAMED = 3
"""The most other nodes that a reason lists by name."""

OWN_VARIABLES = "ZEEKFLEET_"
"""The prefix of variables that stand for keys of the INI file: ``ZEEKFLEET_NICE`` for ``nice``."""


class Actions(msgspec.Struct, frozen=True):
    """What has to be done to get from one set of nodes to another.

    Attributes:
        destroy: nodes that are not wanted any more, in stop order.
        replace: nodes whose launch has changed (all of them, if forced), in start order.
        create: nodes that are new, in start order.
        keep: nodes that stay as they are, in start order.
        reasons: by name of a node to replace, the names of what changed, such as ``interface``.
    """

    destroy: tuple[NodeConfig, ...] = ()
    replace: tuple[NodeConfig, ...] = ()
    create: tuple[NodeConfig, ...] = ()
    keep: tuple[NodeConfig, ...] = ()
    reasons: Mapping[str, tuple[str, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self.destroy or self.replace or self.create)


def reconcile(
    desired: Mapping[str, NodeConfig],
    actual: Mapping[str, NodeConfig],
    force: bool = False,
    failed: Collection[str] = (),
) -> Actions:
    """The actions for nodes that left, came, have changed or have failed; all other nodes are kept.

    Args:
        desired: the nodes that should run, by name.
        actual: the nodes that the supervisor has, by name.
        force: replace every node that is in both.
        failed: the names of nodes that are in a crash loop, or cannot be started.
    """
    left = [config for name, config in actual.items() if name not in desired]
    came = [config for name, config in desired.items() if name not in actual]
    stay = [config for name, config in desired.items() if name in actual]
    reasons = {
        config.name: why
        for config in stay
        if (why := (FORCED,) if force else _reasons(config, actual[config.name], config.name in failed))
    }
    return Actions(
        destroy=tuple(config for group in stop_groups(left) for config in group),
        replace=_in_order(config for config in stay if config.name in reasons),
        create=_in_order(came),
        keep=_in_order(config for config in stay if config.name not in reasons),
        reasons=reasons,
    )


def _reasons(desired: NodeConfig, actual: NodeConfig, has_failed: bool) -> tuple[str, ...]:
    return changes(desired, actual) or ((FAILED,) if has_failed else ())


def summary(actions: Actions) -> str:
    """One line for a person: ``stopping w3; restarting w1 (interface); starting none; leaving manager alone``."""
    reasons: dict[tuple[str, ...], list[str]] = {}
    for name, why in sorted(actions.reasons.items()):
        reasons.setdefault(why, []).append(name)
    restarting = ", ".join(f"{' and '.join(names)} ({', '.join(why)})" for why, names in reasons.items())
    return (
        f"stopping {_names(actions.destroy)}; restarting {restarting or 'none'}; starting {_names(actions.create)}; "
        f"leaving {_names(actions.keep)} alone"
    )


def node_actions(actions: Actions, instance: str) -> tuple[NodeAction, ...]:
    """What is done about each node of an instance, sorted by name."""
    groups = ((KEEP, actions.keep), (START, actions.create), (STOP, actions.destroy), (RESTART, actions.replace))
    found = (
        NodeAction(config.name, instance, action, actions.reasons.get(config.name, ()))
        for action, configs in groups
        for config in configs
    )
    return tuple(sorted(found, key=lambda action: action.node))


def changes(desired: NodeConfig, actual: NodeConfig) -> tuple[str, ...]:
    """The names of what has changed in a node's launch, sorted; empty if the node can keep running.

    Facts about other nodes count only if the node needs them: an older release may have given it more.
    """
    if desired == actual:
        return ()
    return tuple(sorted({*_own_changes(desired, actual), *_cluster_changes(desired, actual)}))


def _own_changes(desired: NodeConfig, actual: NodeConfig) -> Iterator[str]:
    for field in ("interface", "pcap_file", "directory", "stdout_file", "stderr_file", "bare_mode", "cpu_affinity"):
        if getattr(desired, field) != getattr(actual, field):
            yield field
    if desired.addl_base_scripts != actual.addl_base_scripts or _scripts(desired) != _scripts(actual):
        yield "scripts"
    if _options(desired) != _options(actual):
        yield "options"
    for variable in desired.env.keys() | actual.env.keys():
        if desired.env.get(variable) != actual.env.get(variable):
            yield variable.removeprefix(OWN_VARIABLES).lower() if variable.startswith(OWN_VARIABLES) else "env"


def _cluster_changes(desired: NodeConfig, actual: NodeConfig) -> Iterator[str]:
    new, old = view(desired.name, desired.cluster), view(actual.name, actual.cluster)
    own, former = new.pop(desired.name, None), old.pop(actual.name, None)
    if own is not None and former is not None:
        yield from (
            "port" if field == "p" else field
            for field in ("role", "host", "p", "metrics_port")
            if getattr(own, field) != getattr(former, field)
        )
    elif own != former:
        yield CLUSTER
    if {name: without_details(row) for name, row in new.items()} != {
        name: without_details(row) for name, row in old.items()
    }:
        yield CLUSTER
        return
    if own is not None and former is not None and own.role is not former.role:
        return  # a node with another role needs other ports, so comparing them would say nothing
    yield from _of_others("port", [name for name, row in new.items() if row.p != old[name].p])
    yield from _of_others(
        "metrics_port", [name for name, row in new.items() if row.metrics_port != old[name].metrics_port]
    )


def _of_others(what: str, names: list[str]) -> Iterator[str]:
    if len(names) > NAMED:
        yield f"{what} of {len(names)} others"
    else:
        yield from (f"{what} of {name}" for name in names)


def _scripts(config: NodeConfig) -> list[str]:
    return [script for script in config.addl_user_scripts if "=" not in script]


def _options(config: NodeConfig) -> list[str]:
    return [script for script in config.addl_user_scripts if "=" in script]


def _names(configs: Iterable[NodeConfig]) -> str:
    return ", ".join(sorted(config.name for config in configs)) or "none"


def _in_order(configs: Iterable[NodeConfig]) -> tuple[NodeConfig, ...]:
    return tuple(config for group in start_groups(configs) for config in group)
