"""Runs ``zeekfleet supervise``: starts the nodes of a file, waits, and stops them in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec

from zeekfleet.broker import topics
from zeekfleet.cli import supervise_file
from zeekfleet.cli.supervise_file import Program, SuperviseFile
from zeekfleet.daemon import buses, node_user, readiness
from zeekfleet.daemon.access import access_control
from zeekfleet.daemon.directories import held
from zeekfleet.daemon.engine_options import zeek_options
from zeekfleet.daemon.exits import log_exit
from zeekfleet.daemon.launch_defaults import LaunchDefaults, resources_of, revival_of
from zeekfleet.daemon.run import run as run_daemon
from zeekfleet.daemon.run import until
from zeekfleet.daemon.supervising import outputs_of, supervisor_of
from zeekfleet.errors import SupervisionError
from zeekfleet.lifecycle.order import start_groups
from zeekfleet.model.defaults import LOOPBACK
from zeekfleet.model.launch import Account, Engine
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.resolution import Resolved
from zeekfleet.settings import Settings, SupervisorSettings
from zeekfleet.supervisor import CommandEngine, Supervisor
from zeekfleet.supervisor.control import SupervisorControl
from zeekfleet.supervisor.tree import SPOOL
from zeekfleet.transport.bus import Bus

logger = logging.getLogger(__name__)


def run(file: Path, echo: bool, resolved: Resolved) -> int:
    """Supervise until told to stop. Returns the exit code.

    Raises:
        ZeekfleetError: the file is wrong; nothing was started.
    """
    content = supervise_file.read(file)
    settings = resolved.settings
    given = "" if resolved.sources["common.state_dir"].is_default else settings.common.state_dir
    state = Path(given or content.state_directory or f"{file.absolute()}.state")
    return run_daemon(settings.common, lambda stop: _serve(content, state, Manner(settings, echo), stop))


class Manner(msgspec.Struct, frozen=True):
    """How to supervise.

    Attributes:
        settings: the daemon's.
        echo: repeat the nodes' output.
    """

    settings: Settings
    echo: bool


async def _serve(content: SuperviseFile, state: Path, manner: Manner, stop: asyncio.Event) -> None:
    with held(state):
        given = manner.settings.supervisor.port
        if given is None:
            return await _supervise(content, state, manner, stop)
        access = access_control(manner.settings.common)
        async with buses.own_bus("supervisor", manner.settings.common, access) as bus:
            bus.subscribe(topics.SUPERVISOR)  # before requests can arrive
            port = await bus.listen(LOOPBACK, given, policy=buses.SUPERVISOR, access=access)
            return await _supervise(content, state, manner, stop, (bus, port))


async def _supervise(
    content: SuperviseFile,
    state: Path,
    manner: Manner,
    stop: asyncio.Event,
    served: tuple[Bus, int] | None = None,
) -> None:
    own = manner.settings.supervisor
    user = node_user.node_user(own)
    if user is not None:
        node_user.let_in(user, state, state / SPOOL)
    engines = _engines(content, own, user)
    # Every node has its own engine. The Supervisor needs a default, so it gets that of the first node.
    default = engines[content.nodes[0][1]]
    outputs = outputs_of(manner.settings.common)
    async with supervisor_of(
        own, state, default, bare_mode=content.bare_mode, echo=manner.echo, outputs=outputs
    ) as supervisor:
        supervisor.on_node_status(
            lambda node, pid: logger.info("node '%s' started, pid %d", node, pid, extra={"node": node})
        )
        supervisor.on_node_exit(log_exit)
        supervisor.on_emptied = stop.set
        await until(stop, _bring_up(supervisor, content, engines))
        if not stop.is_set():
            supervisor.on_failure = "keep"
            count = "1 node" if len(content.nodes) == 1 else f"{len(content.nodes)} nodes"
            place = f"; supervisor {LOOPBACK}:{served[1]}" if served else ""
            readiness.announce(f"supervising {count}, state in {state}{place}")
        if served is None:
            await stop.wait()
        else:
            await until(stop, SupervisorControl(supervisor, served[0], stop.set).run())
        logger.info("stopping all nodes" if own.on_exit == "stop" else "all nodes run on")


async def _bring_up(supervisor: Supervisor, content: SuperviseFile, engines: Mapping[Program, Engine]) -> None:
    """Keep nodes that already run as the file says, stop those that should not run, start the rest in order.

    Raises:
        SupervisionError: a node cannot be created. What can be checked is checked before anything is stopped.
    """
    desired = {config.name: (config, engines[program]) for config, program in content.nodes}
    kept = {name for name in supervisor.status().nodes if name in desired and supervisor.is_launched_as(*desired[name])}
    for name, wanted in desired.items():
        if name not in kept and (problem := supervisor.check(*wanted)):
            raise SupervisionError(problem)
    await supervisor.destroy_all([name for name in supervisor.status().nodes if name not in kept])
    for name in kept:
        config, engine = desired[name]
        await supervisor.complete((config,), engine)
    for group in start_groups(config for name, (config, _) in desired.items() if name not in kept):
        by_engine: dict[Engine, list[NodeConfig]] = {}
        for config in group:
            by_engine.setdefault(desired[config.name][1], []).append(config)
        for engine, configs in by_engine.items():
            outcomes = await supervisor.create_all(configs, engine)
            for problem in filter(None, outcomes.values()):
                raise SupervisionError(problem)


def _engines(content: SuperviseFile, own: SupervisorSettings, user: Account | None) -> dict[Program, Engine]:
    engines: dict[Program, Engine] = {}
    for _, program in content.nodes:
        if program in engines:
            continue
        engines[program] = LaunchDefaults(
            _engine(program, own),
            program.grace or own.grace,
            program.revival or revival_of(own),
            program.resources or resources_of(own),
            grace_ceiling=own.grace_ceiling if program.grace_ceiling is None else program.grace_ceiling,
            user=user,
        )
    return engines


def _engine(program: Program, own: SupervisorSettings) -> Engine:
    if program.command is not None:
        return CommandEngine(program.command, grace_ceiling=program.grace_ceiling or 0.0)
    from zeekfleet.node.engines import select  # noqa: PLC0415 - only for nodes that are a Zeek, or play one

    return select(program.engine or own.engine, zeek_options(own))
