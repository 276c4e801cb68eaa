"""Makes the instance's nodes what a configuration says, and touches only nodes that have to change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from zeekfleet.agent.control import SupervisorControl, cluster_nodes
from zeekfleet.agent.notifier import Notifier
from zeekfleet.agent.plan import impossible_names, node_configs, nodes_of
from zeekfleet.agent.roster import Roster
from zeekfleet.agent.start_order import StartOrder
from zeekfleet.errors import RequestTimeoutError
from zeekfleet.lifecycle.cluster_view import required_peers
from zeekfleet.lifecycle.order import stop_groups
from zeekfleet.lifecycle.reconcile import Actions, node_actions, reconcile, summary
from zeekfleet.model.management import Configuration, Result, fresh_id
from zeekfleet.model.supervision import NodeDetails
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.node.engine import NodeLinks
from zeekfleet.waiting import in_parallel

ATTEMPTS = 3
"""How often creating or destroying a node is tried if the connection to the supervisor is lost meanwhile."""


class Deployer:
    """Applies configurations, one at a time.

    Args:
        instance: the agent's name.
        state_directory: the state directory; a node's directory is ``nodes/<name>`` below it.
        control: requests to the supervisor.
        roster: the state of the nodes.
        links: how nodes and agent reach each other.
        notifier: reports steps and failures to the controller.
        order: starts and restarts nodes group after group.
        on_adopted: called with the names of the instance's nodes when a configuration was adopted.
    """

    def __init__(
        self,
        instance: str,
        state_directory: Path,
        control: SupervisorControl,
        roster: Roster,
        links: NodeLinks,
        notifier: Notifier,
        order: StartOrder,
        *,
        on_adopted: Callable[[Collection[str]], None] = lambda _: None,
    ) -> None:
        self.configuration: Configuration | None = None
        self.configs: dict[str, NodeConfig] = {}
        self._instance = instance
        self._state_directory = state_directory
        self._control = control
        self._roster = roster
        self._links = links
        self._notifier = notifier
        self._order = order
        self._on_adopted = on_adopted
        self._one_at_a_time = asyncio.Lock()

    def required_peers(self, name: str) -> frozenset[str]:
        """The nodes to which this node of ours must be connected."""
        config = self.configs.get(name)
        return required_peers(name, config.cluster) if config is not None else frozenset()

    async def apply(
        self,
        configuration: Configuration,
        force: bool = False,
        *,
        reqid: str = "",
        unless_running: bool = False,
        on_stopped: Callable[[], None] = lambda: None,
    ) -> bool:
        """Adopt a configuration: have the supervisor stop, restart and start the nodes that differ.

        The roster shows what becomes of the nodes.

        Args:
            configuration: with addresses and ports filled in.
            force: restart every node of ours.
            reqid: the request's id, for the notification of what is about to be done.
            unless_running: do nothing if the present configuration has this id and all its nodes are up. This is
                decided after all earlier requests have been carried out.
            on_stopped: called when all nodes that had to be stopped have ended, before any is started.

        Returns:
            Whether anything was done.

        Raises:
            UnansweredError: the supervisor does not answer; nothing was touched.
        """
        async with self._one_at_a_time:
            if unless_running and self._is_running(configuration):
                self._tell(reqid, configuration, Actions(keep=tuple(self.configs.values())))
                return False
            processes = await self._control.status()
            actual = cluster_nodes(processes)
            nodes = nodes_of(configuration, self._instance)
            variables = self._links.variables(nodes, actual, configuration)
            desired = node_configs(configuration, self._instance, self._state_directory, variables)
            impossible = impossible_names(nodes, actual, processes.keys() - actual.keys())
            for name in impossible:
                del desired[name]
            details = await self._details()
            failed = {name for name, known in details.items() if known.failed}
            actions = reconcile(desired, actual, force, failed)
            self._notifier.log(f"configuration {configuration.id}: {summary(actions)}")
            self._tell(reqid, configuration, actions)
            self.configuration, self.configs = configuration, desired
            self._roster.keep(nodes.values())
            for config in (*actions.replace, *actions.create):
                self._roster.launching(config.name)
            for config in actions.keep:
                if (known := details.get(config.name)) is not None and known.runs:
                    self._roster.found(config.name, known.pid)
            for name, problem in impossible.items():
                self._refuse(name, problem)
            for group in stop_groups((*actions.destroy, *actions.replace)):
                await in_parallel(self._destroy(config) for config in group)
            on_stopped()
            await self._order.start((*actions.replace, *actions.create), self._create)
            self._on_adopted(nodes.keys())
            return True

    def without_deployments(self) -> AbstractAsyncContextManager[None]:
        """A context manager in which no deployment runs and no restart begins."""
        return self._one_at_a_time

    def _is_running(self, configuration: Configuration) -> bool:
        return self.configuration is not None and self.configuration.id == configuration.id and self._roster.all_running

    async def _details(self) -> dict[str, NodeDetails]:
        """The supervisor's details about nodes. They are needed only if some node is not running."""
        if self._roster.all_running:
            return {}
        try:
            return await self._control.details()
        except RequestTimeoutError:
            return {}

    async def stand_by(self) -> None:
        """Stop all cluster nodes and forget the configuration."""
        await self.apply(Configuration())
        self.configuration = None

    async def restart(self, outcomes: Mapping[str, asyncio.Future[Result]]) -> None:
        """Restart nodes; returns when all of them have been restarted, and none waits at the start barrier.

        Args:
            outcomes: by node, a future for its result, which has no request id yet.
        """
        async with self._one_at_a_time:
            pass  # wait for a deployment under way: nodes that it has not created yet could not be restarted

        async def relaunch(config: NodeConfig) -> None:
            outcomes[config.name].set_result(await self._restart(config.name))

        configs = [self.configs.get(name) or NodeConfig(name) for name in outcomes]
        await self._order.restart(configs, relaunch)

    async def _restart(self, name: str) -> Result:
        """Restart one node, unless it has left meanwhile, or was refused because its name is another process'."""
        if name in self._roster and name in self.configs:
            former = self._roster[name].pid
            self._roster.launching(name)
            self._notifier.log("restarting", name)
            if await self._control.restart(name):
                return Result("", instance=self._instance, node=name)
            # The response may have been lost, or the supervisor may not have tried: look at the process.
            if (pid := await self._control.process_of(name)) is not None:
                self._roster.found(name, pid)
                if pid != former:
                    return Result("", instance=self._instance, node=name)
                return self._not_restarted(name)
        self._roster.refused(name, "could not be restarted")
        return self._not_restarted(name)

    def _not_restarted(self, name: str) -> Result:
        self._notifier.error(f"failed to restart node {name}", name)
        return Result("", False, self._instance, error=f"could not restart node {name}", node=name)

    def _tell(self, reqid: str, configuration: Configuration, actions: Actions) -> None:
        self._notifier.node_actions(reqid, configuration.id, node_actions(actions, self._instance))

    async def _destroy(self, config: NodeConfig) -> None:
        self._order.release(config)
        for _ in range(ATTEMPTS):
            if await self._control.destroy(config.name) or await self._is_there(config.name) is False:
                return
        self._notifier.error(f"failed to destroy node {config.name}, {fresh_id()}", config.name)

    async def _create(self, config: NodeConfig) -> None:
        """Have the supervisor create a node. If its response was lost, look whether the node was created."""
        problem = ""
        for _ in range(ATTEMPTS):
            try:
                problem = await self._control.create(config)
            except RequestTimeoutError as error:
                problem = str(error)
                is_final = False
            else:
                if not problem:
                    return
                is_final = True
            if (pid := await self._control.process_of(config.name, config)) is not None:
                self._notifier.log(f"node {config.name} runs, although creating it failed: {problem}", config.name)
                self._roster.found(config.name, pid)
                return
            if await self._is_there(config.name):
                await self._destroy(config)  # the former node of this name was not destroyed
            elif is_final:
                break
        self._refuse(config.name, problem)

    async def _is_there(self, name: str) -> bool | None:
        """Whether the supervisor has a node of this name; None if it does not answer."""
        try:
            return name in await self._control.status()
        except RequestTimeoutError:
            return None

    def _refuse(self, name: str, problem: str) -> None:
        self._roster.refused(name, problem)
        self._notifier.error(f"failed to create node {name}: {problem}", name)
