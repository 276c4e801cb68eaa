"""``zeekfleet up --pcap FILE``: a cluster on this host reads a trace and ends; its logs are left in ``logs/``."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from zeekfleet import Client
from zeekfleet.broker.events.agent import NotifyChange
from zeekfleet.broker.events.dispatches import NotifyTraceDone
from zeekfleet.cli.trace_end import END_LOG, SCRIPT, stop_in_turn
from zeekfleet.daemon import node_user, tree
from zeekfleet.daemon.directories import node_directory
from zeekfleet.daemon.run import run as run_daemon
from zeekfleet.errors import ConfigurationError, SettingsError, SupervisionError, ZeekfleetError
from zeekfleet.model.defaults import LOOPBACK
from zeekfleet.model.enums import ClusterRole, Role, State
from zeekfleet.model.management import Configuration, Instance, Node
from zeekfleet.model.texts import one_line
from zeekfleet.model.types import Port
from zeekfleet.model.variables import PCAP_FILE
from zeekfleet.node.engines import FOR_TRAFFIC, engine_of
from zeekfleet.planning.node_settings import variable
from zeekfleet.resolution import Origin, Resolved
from zeekfleet.settings import Settings
from zeekfleet.system.files import open_regular
from zeekfleet.system.ports import ReservedPorts, reserve_any
from zeekfleet.system.privileges import acting_as, acting_as_owner, owner_of
from zeekfleet.transport.bus import Delivery

logger = logging.getLogger(__name__)

MANAGER, LOGGER, PROXY, WORKER = "manager", "logger", "proxy", "worker"
STOP_ORDER = (WORKER, PROXY, MANAGER)
"""The nodes in the order in which they stop. The logger stops last, after all of these."""

LOGS = "logs"
GRACE, CEILING = 60.0, 3600.0
"""The seconds that a node may take to send or write what is left: without a sign of work, and in all."""

AGENT_TIMEOUT, CONTROLLER_TIMEOUT = 55.0, 60.0
"""Seconds without progress after which the cluster counts as failed; long, because no zeek-client waits here."""

START_LIMIT = 600.0
"""Seconds until a worker that reads at full speed must have said hello."""

PORTS = 5
"""The number of ports to choose: for clients, for agents, and for manager, logger and proxy."""

ENDED = (State.FAILED, State.CRASHED)


WITHOUT_EFFECT = ("supervisor.rotation_interval", "supervisor.on_exit", "agent.health_interval", "archive.")
"""Beginnings of settings that have no effect with a trace: there is no rotation, archive or health check."""


def run(trace: Path, resolved: Resolved) -> int:
    """Read the trace. Returns the exit code.

    Raises:
        ZeekfleetError: settings are wrong, or the trace cannot be read; nothing was started.
    """
    for key, source in resolved.sources.items():
        if source.origin is Origin.OPTION and key.startswith(WITHOUT_EFFECT):
            raise SettingsError(source.text, "does not apply to a trace")
    trace = trace.absolute()
    user = node_user.node_user(resolved.settings.supervisor)
    try:
        with acting_as(user), trace.open("rb"):
            pass
    except OSError as error:
        raise ConfigurationError(f"trace file {trace} cannot be read: {error.strerror}") from None
    target = Path.cwd() / LOGS
    # Ports are reserved until all has ended, so that no other program takes them before they are used.
    with tempfile.TemporaryDirectory(prefix="zeekfleet-") as scratch, _reserved_ports() as reserved:
        if user is not None:
            node_user.open_to_group(Path(scratch), user)
        clients, agents, *listening = reserved.numbers
        settings = _settings(resolved, Path(scratch), clients, agents)
        if not resolved.sources["controller.auto_assign_start_port"].is_default:
            listening = []
        deployed = _configuration(settings.agent.name, trace, listening, settings.supervisor.grace_ceiling)
        reading = Reading()
        code = run_daemon(settings.common, lambda stop: _serve(deployed, settings, stop, reading))
        if not reading.has_begun:
            return code
        moved = _keep_logs(node_directory(settings.common, LOGGER), target)
    logger.info("%d logs are in %s", moved, target)
    if reading.problems:
        sys.stderr.write(f"error: logs may be incomplete: {one_line('; '.join(reading.problems))}\n")
    return 1 if reading.problems else code


@dataclass
class Reading:
    """How far the reading has come.

    Attributes:
        has_begun: whether the worker has begun to read the trace, so that there are logs.
        problems: why logs may be incomplete.
    """

    has_begun: bool = False
    problems: list[str] = field(default_factory=list)


def _reserved_ports() -> ReservedPorts:
    try:
        return reserve_any(LOOPBACK, PORTS)
    except OSError as error:
        raise ZeekfleetError(f"no free ports on {LOOPBACK}: {error.strerror}") from None


async def _serve(deployed: Configuration, settings: Settings, stop: asyncio.Event, reading: Reading) -> None:
    async def read() -> None:
        await _read(deployed, settings, stop, reading)
        stop.set()

    await tree.serve(settings, (Role.CONTROLLER, Role.AGENT), stop, read)


async def _read(deployed: Configuration, settings: Settings, stop: asyncio.Event, reading: Reading) -> None:
    """Deploy, wait until the trace is read, and stop the nodes in order.

    Raises:
        ZeekfleetError: a node does not come up, or ends.
    """
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def heard(delivery: Delivery) -> None:
        match delivery.event:
            case NotifyTraceDone(node=node) if node == WORKER and not ended.done():
                ended.set_result(None)
            case NotifyChange(n=node, new=new) if new in ENDED and not ended.done() and not stop.is_set():
                ended.set_exception(SupervisionError(f"node '{node.name}' has {new.name.lower()}; see the log above"))

    own = settings.controller
    async with Client(LOOPBACK, own.websocket_port, watcher=heard) as client:
        outcome = await client.deploy_config(deployed)
        if not outcome.ok:
            failed = [node for node in outcome.nodes if not node.success]
            words = [*outcome.errors, *(f"node '{node.name}' does not run" for node in failed)]
            words += [node.outputs.stderr for node in failed if node.outputs is not None]
            raise SupervisionError("; ".join(words) or "the cluster does not run")
        logger.info("reading %s", *(node.env[PCAP_FILE] for node in deployed.nodes if node.name == WORKER))
        reading.has_begun = True
        reading.problems = ["the trace has not been read to its end"]
        await ended
    reading.problems = ["nodes were not stopped one after the other"]
    directories = {node.name: node_directory(settings.common, node.name) for node in deployed.nodes}
    reading.problems = await stop_in_turn(settings, directories, STOP_ORDER, LOGGER)


def _configuration(instance: str, trace: Path, listening: Sequence[int], ceiling: float) -> Configuration:
    """The cluster. It has a proxy because Zeek's workers send what they find about hosts and services to one.

    Args:
        instance: the instance of all nodes.
        trace: the trace that the worker reads.
        listening: the ports of manager, logger and proxy; if empty, the controller assigns them.
        ceiling: seconds that each node may take to stop while it still works. Normally only loggers get so much time;
            here the worker may have much to send as well.
    """
    ports = dict(zip((MANAGER, LOGGER, PROXY), map(Port, listening), strict=False))

    def node(name: str, role: ClusterRole, env: dict[str, str] | None = None) -> Node:
        env = {variable("grace_ceiling"): str(ceiling), **(env or {})}
        return Node(name, instance, role, State.RUNNING, p=ports.get(name), scripts=(SCRIPT,), env=env)

    nodes = (
        node(MANAGER, ClusterRole.MANAGER),
        node(LOGGER, ClusterRole.LOGGER),
        node(PROXY, ClusterRole.PROXY),
        node(WORKER, ClusterRole.WORKER, {PCAP_FILE: str(trace)}),
    )
    return Configuration(instances=(Instance(instance),), nodes=nodes)


def _settings(resolved: Resolved, scratch: Path, clients: int, agents: int) -> Settings:
    """The settings, with other defaults: directories and ports that nothing else on this host uses.

    Args:
        resolved: the settings that were given.
        scratch: a directory that is removed at the end.
        clients: the port on which the controller may listen for clients.
        agents: the port on which it may listen for agents.
    """
    settings = resolved.settings

    def unless_given(section: str, **values: object) -> dict[str, object]:
        return {name: value for name, value in values.items() if resolved.sources[f"{section}.{name}"].is_default}

    chosen = msgspec.structs.replace(
        settings,
        common=msgspec.structs.replace(
            settings.common,
            **unless_given("common", state_dir=str(scratch / "state"), spool_dir=str(scratch / "spool")),
        ),
        controller=msgspec.structs.replace(
            settings.controller,
            **unless_given(
                "controller",
                websocket_port=clients,
                port=agents,
                auto_assign_metrics_ports=False,
                request_timeout=CONTROLLER_TIMEOUT,
            ),
        ),
        supervisor=msgspec.structs.replace(
            settings.supervisor,
            **unless_given("supervisor", engine=FOR_TRAFFIC, grace=GRACE, grace_ceiling=CEILING),
            rotation_interval=0.0,
        ),
        archive=msgspec.structs.replace(settings.archive, enabled=False),
    )
    agent = msgspec.structs.replace(
        chosen.agent,
        **unless_given(
            "agent",
            port=0,
            controller=f"{LOOPBACK}:{chosen.controller.port}",
            start_limit=START_LIMIT,
            request_timeout=AGENT_TIMEOUT,
        ),
        # A worker that reads as fast as it can does not answer in time.
        health_interval=0.0,
    )
    if not engine_of(chosen.supervisor.engine).reads_traffic:
        raise ZeekfleetError("a trace needs real Zeek nodes; simulated ones look at no traffic")
    return msgspec.structs.replace(chosen, agent=agent)


def _keep_logs(directory: Path, target: Path) -> int:
    """Move the logger's logs to the target directory. Returns how many there were."""
    found = sorted(directory.glob("*.log"))
    logs = [file for file in found if not file.name.startswith("management-") and file.name != END_LOG]
    target.mkdir(exist_ok=True)
    owner = owner_of(directory)
    is_ours = owner is not None and owner.uid == os.geteuid()
    for file in logs:
        if is_ours:
            shutil.move(file, target / file.name)
            continue
        # Its owner may replace the file by a link at any moment: copy what we have opened with the owner's rights.
        with acting_as_owner(directory):
            source = open_regular(file)
        with source, (target / file.name).open("wb") as copy:
            shutil.copyfileobj(source, copy)
    return len(logs)
