"""Applies the operator's settings for grace, revival and resources to the launches of any engine."""

from __future__ import annotations

import msgspec

from zeekfleet.daemon import node_user
from zeekfleet.errors import LaunchError
from zeekfleet.model.launch import Account, Engine, LaunchContext, LaunchSpec, Resources, RevivalSettings
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.planning import node_settings
from zeekfleet.settings import SupervisorSettings


class LaunchDefaults:
    """An engine that launches with another engine, and then applies defaults. A node's own settings take precedence.

    Args:
        engine: the other engine.
        grace: seconds between SIGTERM and SIGKILL. For this and the following, the engine's own value is the default.
        revival: when nodes are started again after they ended by themselves.
        resources: limits of the nodes' processes.
        grace_ceiling: seconds between SIGTERM and SIGKILL for nodes that still work. It applies only to nodes for
            which the engine sets a ceiling.
        user: whom nodes run as, if not as we do. Those of an engine that reads traffic get what they need for this.
    """

    def __init__(
        self,
        engine: Engine,
        grace: float | None = None,
        revival: RevivalSettings | None = None,
        resources: Resources | None = None,
        *,
        grace_ceiling: float | None = None,
        user: Account | None = None,
    ) -> None:
        self.name = engine.name
        self._engine = engine
        self._grace = grace
        self._ceiling = grace_ceiling
        self._revival = revival
        self._resources = resources
        self._user = user
        self._reads_traffic: bool = getattr(engine, "reads_traffic", False)  # engines of other programs do not say
        self._variables = {} if user is None else node_user.variables(user)

    def launch(self, config: NodeConfig, context: LaunchContext) -> LaunchSpec:
        """The launch of a node.

        Raises:
            LaunchError: the node cannot be launched as configured.
        """
        spec = self._engine.launch(config, context)
        try:
            own = node_settings.read(config.env)
        except ValueError as error:
            raise LaunchError(config.name, str(error)) from None
        grace = spec.grace if self._grace is None else self._grace
        ceiling = self._ceiling if self._ceiling is not None and spec.grace_ceiling else spec.grace_ceiling
        return msgspec.structs.replace(
            spec,
            grace=grace if own.grace is None else own.grace,
            grace_ceiling=ceiling if own.grace_ceiling is None else own.grace_ceiling,
            revival=own.revival_from(self._revival or spec.revival),
            resources=own.resources_from(self._resources or spec.resources),
            user=self._user_of(config),
            env=spec.env | {name: config.env.get(name, value) for name, value in self._variables.items()},
        )

    def _user_of(self, config: NodeConfig) -> Account | None:
        if self._user is None:
            return None
        return node_user.of_node(self._user, looks_at_traffic=self._reads_traffic and config.interface is not None)


def revival_of(own: SupervisorSettings) -> RevivalSettings:
    """The revival settings, from the section ``supervisor``."""
    return RevivalSettings(
        enabled=own.revival,
        initial_delay=own.revival_initial_delay,
        factor=own.revival_factor,
        max_delay=own.revival_max_delay,
        jitter=own.revival_jitter,
        stable_after=own.revival_stable_after,
        loop_limit=own.revival_loop_limit,
        loop_window=own.revival_loop_window,
        retry_delay=own.revival_retry_delay,
    )


def resources_of(own: SupervisorSettings) -> Resources:
    """The resource limits, from the section ``supervisor``."""
    return Resources(
        nice=own.nice or None,
        memory=own.memory_limit or None,
        open_files=own.open_files or None,
        core=own.core_limit or None,
        cgroup=own.cgroups == "always",
    )
