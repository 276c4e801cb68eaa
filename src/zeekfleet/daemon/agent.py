"""The agent's process: builds an agent from the settings and runs it. Its supervisor starts it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from zeekfleet.agent.agent import Agent
from zeekfleet.agent.directory_cleanup import DAY
from zeekfleet.agent.health import HealthSettings
from zeekfleet.agent.notifier import Notifier
from zeekfleet.agent.options import AgentOptions
from zeekfleet.archive.archiver import Archiver
from zeekfleet.broker import topics
from zeekfleet.daemon import archiving, buses, checking, names, node_user, readiness
from zeekfleet.daemon.access import access_control
from zeekfleet.daemon.controller_address import parse_controller
from zeekfleet.daemon.directories import check_name
from zeekfleet.daemon.disk import DiskWatch
from zeekfleet.daemon.engine_options import zeek_options
from zeekfleet.daemon.renewal import Renewal
from zeekfleet.daemon.run import until
from zeekfleet.daemon.tls import DaemonTls
from zeekfleet.daemon.workplace import workplace
from zeekfleet.model.addresses import address_text
from zeekfleet.model.defaults import LOOPBACK
from zeekfleet.model.enums import Role
from zeekfleet.model.names import AGENT_SOCKET
from zeekfleet.model.types import Address
from zeekfleet.node.engines import engine_of
from zeekfleet.security.identity import Identity, PeerRole
from zeekfleet.settings import Settings
from zeekfleet.transport.connections import ConnectedBus


async def serve(settings: Settings, engine_name: str, stop: asyncio.Event) -> None:
    """Serve a controller until told to stop.

    Args:
        settings: of the sections common, supervisor, agent and archive.
        engine_name: the engine that the supervisor launches nodes with.
        stop: set to end the agent; the nodes run on.

    Raises:
        ZeekfleetError: a directory or port cannot be used.
    """
    own = settings.agent
    engine = engine_of(engine_name, zeek_options(settings.supervisor))
    check_name("agent.name", own.name)
    controller = parse_controller(own.controller)
    tls = DaemonTls("agent", own, settings.common)
    listening = tls.for_fleet(own.listen)
    dialling = tls.towards_controller(controller[0]) if controller is not None else None
    tls.warn()
    user = node_user.node_user(settings.supervisor)
    with workplace(settings.common, own.name, Role.AGENT) as directory:
        access = access_control(settings.common)
        nodes_access = access if user is None else access.including(user.uid)
        async with buses.own_bus(own.name, settings.common, access, nodes_access) as bus:
            supervisor = buses.supervisor_bus(own.name, settings.common, access, label="supervisor")
            policy = buses.agent_policy(own.name)
            port = await bus.listen(own.listen, own.port, policy=policy, tls=listening, access=access)
            await bus.listen(f"unix:{directory / AGENT_SOCKET}", 0, policy=buses.NODES, access=nodes_access)
            if user is not None:
                node_user.open_socket(directory / AGENT_SOCKET, user)
            options = AgentOptions(
                name=own.name,
                state_directory=Path(settings.common.state_dir),
                host=_address(own.listen),
                port=port,
                dials_controller=controller is not None,
                request_timeout=own.request_timeout,
                grace=settings.supervisor.grace,
                health=HealthSettings(
                    own.health_interval, own.health_misses, own.start_limit, own.health_restart, own.peer_limit
                ),
                group_wait=own.group_wait,
                keep_departed=own.departed_days * DAY,
                start_barrier=engine.has_start_barrier,
                controller_hold=own.controller_hold,
            )
            agent = Agent(
                options,
                bus,
                supervisor,
                engine.links(bus, bus, directory),
                checker=checking.node_checker(settings, engine, user),
            )
            notifier = Notifier(bus, own.name, controller is not None, options.host)
            archiver = archiving.archiver(settings, notifier.error, user)
            places = (Path(settings.common.state_dir), Path(settings.common.spool_dir))
            disk = DiskWatch(places, notifier.error, notifier.log)
            names.keep(Path(settings.common.state_dir), Role.AGENT, own.name)
            whom = f"controller {own.controller}" if controller else "waiting for a controller"
            # Connect only now: subscriptions are sent when a connection is made, and the agent has just subscribed.
            if controller is not None:
                own_topic = (topics.agent(own.name),)
                bus.dial(*controller, publish=own_topic, tls=dialling, role=Role.CONTROLLER, label="controller")
            async with supervisor:
                readiness.announce(f"agent {own.name} {address_text(own.listen, port)}, {whom}")
                await until(stop, _run(agent, disk, archiver, tls, bus))


async def _run(agent: Agent, disk: DiskWatch, archiver: Archiver | None, tls: DaemonTls, bus: ConnectedBus) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(tls.run(bus.recheck))
        if tls.is_found:
            renewal = Renewal(tls, Identity(PeerRole.AGENT, bus.name))
            tasks.create_task(renewal.run(agent.certificates.renew))
            tasks.create_task(renewal.keep_list(agent.certificates.revoked))
        tasks.create_task(agent.run())
        tasks.create_task(disk.run())
        if archiver is not None:
            tasks.create_task(archiver.run())


def _address(host: str) -> Address:
    """The listening address as the protocol's type; the loopback address if it is a host name."""
    try:
        return Address(host)
    except ValueError:
        return Address(LOOPBACK)
