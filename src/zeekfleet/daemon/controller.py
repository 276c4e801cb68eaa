"""The controller's process: builds a controller from the settings and runs it."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Container
from pathlib import Path

from zeekfleet.controller.audit import AuditTrail
from zeekfleet.controller.completion import PortAssignment
from zeekfleet.controller.controller import Controller
from zeekfleet.controller.notifications import NotificationLimits
from zeekfleet.controller.options import ControllerOptions
from zeekfleet.daemon import buses, names, readiness
from zeekfleet.daemon.access import access_control
from zeekfleet.daemon.directories import DATABASE, check_name
from zeekfleet.daemon.disk import DiskWatch
from zeekfleet.daemon.renewal import Renewal
from zeekfleet.daemon.run import until
from zeekfleet.daemon.signing import LocalSigner, signer_of
from zeekfleet.daemon.tls import DaemonTls
from zeekfleet.daemon.workplace import workplace
from zeekfleet.model.addresses import address_text
from zeekfleet.model.enums import Role
from zeekfleet.model.names import AUDIT_LOG, PKI
from zeekfleet.planning.validate import Sizes
from zeekfleet.security.identity import Identity, PeerRole
from zeekfleet.settings import Settings
from zeekfleet.store import quarantine
from zeekfleet.store.interface import Store
from zeekfleet.store.sqlite import SqliteStore
from zeekfleet.transport.connections import ConnectedBus

logger = logging.getLogger(__name__)

KEYS = "curve-keys.json"


async def serve(settings: Settings, stop: asyncio.Event, open_store: Callable[[Path], Store] = SqliteStore) -> None:
    """Serve clients and agents until told to stop.

    Args:
        settings: of the sections common and controller.
        stop: set to end the controller; agents and nodes run on.
        open_store: opens the store, given the path of its file.

    Raises:
        StoreQuarantinedError: the database could not be used, and another start begins with an empty one.
        ZeekfleetError: a directory, port, certificate or the database cannot be used.
    """
    own = settings.controller
    check_name("controller.name", own.name)
    tls = DaemonTls("controller", own, settings.common)
    signer = signer_of(Path(settings.common.state_dir) / PKI) if tls.is_mutual else None
    for_clients = tls.for_clients(own.websocket_listen)
    for_agents = tls.for_fleet(own.listen, with_applicants=True)
    tls.warn()
    with workplace(settings.common, own.name, Role.CONTROLLER) as directory:
        trail = AuditTrail(Path(settings.common.state_dir) / AUDIT_LOG, own.audit_limit, own.audit_kept)
        store = None
        try:
            store = quarantine.open_or_quarantine(directory / DATABASE, open_store)
            if loss := _loss(directory / DATABASE, store):
                logger.error(loss)
            access = access_control(settings.common)
            async with buses.own_bus(own.name, settings.common, access) as bus:
                controller = Controller(_options(settings, directory, loss, tls, signer), bus, bus, store, trail)
                places = []
                if own.websocket_port:
                    await bus.listen(
                        own.websocket_listen,
                        own.websocket_port,
                        policy=buses.clients_policy(own.name, own.tls_role, trail.refused),
                        tls=for_clients,
                        access=access,
                    )
                    place = address_text(own.websocket_listen, own.websocket_port)
                    places.append(f"clients {place}{' (TLS)' if for_clients else ''}")
                if own.port:
                    policy = buses.agents_policy(
                        and_clients=own.first_generation_clients and not own.tls_ca,
                        and_applicants=signer is not None,
                        refused=trail.refused,
                    )
                    await bus.listen(own.listen, own.port, policy=policy, tls=for_agents, access=access)
                    place = address_text(own.listen, own.port)
                    places.append(f"agents {place}{' (TLS)' if for_agents else ''}")
                names.keep(Path(settings.common.state_dir), Role.CONTROLLER, own.name)
                readiness.announce(", ".join([f"controller {own.name}", *places]))
                disk = DiskWatch((directory,), logger.error, logger.info)
                await until(stop, _run(controller, disk, trail, tls, bus, signer))
        finally:
            trail.close()
            if store is not None:
                store.close()


async def _run(
    controller: Controller,
    disk: DiskWatch,
    trail: AuditTrail,
    tls: DaemonTls,
    bus: ConnectedBus,
    signer: LocalSigner | None,
) -> None:
    def changed(revoked: Container[int] | None) -> None:
        bus.recheck(revoked)
        controller.certificates.tell(bus.peers())

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(controller.run())
        tasks.create_task(disk.run())
        tasks.create_task(trail.run())
        tasks.create_task(tls.run(changed))
        if tls.is_found and signer is not None:
            owner = Identity(PeerRole.CONTROLLER, bus.name)
            tasks.create_task(Renewal(tls, owner).run(functools.partial(signer.renew, owner)))


def _loss(path: Path, store: Store) -> str:
    """The warning that the database was set aside and the new one is empty; ``""`` once something has been staged."""
    former = None if store.history(1) else quarantine.latest(path)
    if former is None:
        return ""
    return (
        f"database {path} is empty, since the former one was set aside as {former.name}:"
        " no configuration is known, and nodes run on as they are until one is deployed"
    )


def _options(
    settings: Settings, directory: Path, loss: str, tls: DaemonTls, signer: LocalSigner | None
) -> ControllerOptions:
    own = settings.controller
    return ControllerOptions(
        name=own.name,
        port=own.port or None,
        request_timeout=own.request_timeout,
        instance_wait=own.instance_wait,
        assignment=PortAssignment(
            own.auto_assign_ports,
            own.auto_assign_start_port,
            own.auto_assign_metrics_ports,
            own.auto_assign_metrics_start_port,
            # The ports of our own daemons: with ``zeekfleet up`` they run on the same host as nodes.
            reserved=(own.websocket_port, own.port, settings.agent.port, settings.supervisor.port or 0),
        ),
        check_before_deploy=own.check_before_deploy,
        key_file=directory / KEYS,
        notifications=NotificationLimits(own.notification_size, own.notification_rate),
        sizes=Sizes(own.node_limit, own.node_limit_each),
        encryption=tls,
        signer=signer,
        revoked=lambda: tls.revoked_list,
        loss=loss,
    )
