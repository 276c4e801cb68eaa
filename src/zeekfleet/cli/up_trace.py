"""``zeekfleet up --pcap FILE``: a cluster on this host reads a trace and ends; its logs are left in ``logs/``."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from zeekfleet.broker.events.agent import NotifyChange
from zeekfleet.broker.events.dispatches import NotifyTraceDone
from zeekfleet.cli.trace_end import END_LOG, SCRIPT, stop_in_turn
from zeekfleet.client.client import Client
from zeekfleet.daemon import tree
from zeekfleet.daemon.directories import node_directory
from zeekfleet.daemon.run import run as run_daemon
from zeekfleet.errors import ConfigurationError, SettingsError, SupervisionError, ZeekfleetError
from zeekfleet.model.enums import ClusterRole, Role, State
from zeekfleet.model.management import Configuration, Instance, Node
from zeekfleet.model.types import Port
from zeekfleet.planning.cluster_variables import PCAP_FILE
from zeekfleet.resolution import DEFAULT, Resolved
from zeekfleet.settings import Settings
from zeekfleet.system.ports import KeptPorts, keep_any
from zeekfleet.transport.endpoint import Delivery

logger = logging.getLogger(__name__)

MANAGER, LOGGER, PROXY, WORKER = "manager", "logger", "proxy", "worker"
STOP_ORDER = (WORKER, PROXY, MANAGER)
"""The logger goes last."""

LOGS = "logs"
LOOPBACK = "127.0.0.1"
GRACE = 60.0
"""Seconds that a node may take to hand on the logs of what it has read."""

START_LIMIT = 600.0
"""Seconds until a worker that reads at full speed must have said hello."""

PORTS = 6
"""How many are chosen: for the controller's clients, for agents, for the supervisor, for manager, logger and proxy."""

ENDED = (State.FAILED, State.CRASHED)


WITHOUT_EFFECT = ("supervisor.rotation_interval", "supervisor.on_exit", "agent.health_interval", "archive.")
"""Beginnings of settings that have no say while a trace is read: nothing is rotated, archived, asked or kept."""


def run(trace: Path, resolved: Resolved) -> int:
    """Read the trace; the exit code.

    Raises:
        ZeekfleetError: settings are wrong, or the trace cannot be read; nothing was started.
    """
    for key, origin in resolved.origins.items():
        if origin.startswith("--") and key.startswith(WITHOUT_EFFECT):
            raise SettingsError(origin, "does not apply to a trace")
    trace = trace.absolute()
    try:
        with trace.open("rb"):
            pass
    except OSError as error:
        raise ConfigurationError(f"trace file {trace} cannot be read: {error.strerror}") from None
    target = Path.cwd() / LOGS
    # Ports are kept until all has ended, so that nobody comes between their choice and their use.
    with tempfile.TemporaryDirectory(prefix="zeekfleet-") as scratch, _kept_ports() as kept:
        clients, agents, supervisor, *listening = kept.numbers
        settings = _settings(resolved, Path(scratch), clients, agents, supervisor)
        if resolved.origins["controller.auto_assign_start_port"] != DEFAULT:
            listening = []
        deployed = _configuration(settings.agent.name, trace, listening)
        code = run_daemon(settings.common, lambda stop: _serve(deployed, settings, stop))
        moved = _keep_logs(node_directory(settings.common, LOGGER), target) if code == 0 else 0
    if code == 0:
        logger.info("%d logs are in %s", moved, target)
    return code


def _kept_ports() -> KeptPorts:
    try:
        return keep_any(LOOPBACK, PORTS)
    except OSError as error:
        raise ZeekfleetError(f"no free ports on {LOOPBACK}: {error.strerror}") from None


async def _serve(deployed: Configuration, settings: Settings, stop: asyncio.Event) -> None:
    async def read() -> None:
        await _read(deployed, settings, stop)
        stop.set()

    await tree.serve(settings, (Role.CONTROLLER, Role.AGENT), stop, read)


async def _read(deployed: Configuration, settings: Settings, stop: asyncio.Event) -> None:
    """Deploy, and wait until the trace is read.

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
            words = [*outcome.errors, *(node.outputs.stderr for node in failed if node.outputs is not None)]
            raise SupervisionError("; ".join(words) or f"nodes {', '.join(node.name for node in failed)} do not run")
        logger.info("reading %s", *(node.env[PCAP_FILE] for node in deployed.nodes if node.name == WORKER))
        await ended
    directories = {node.name: node_directory(settings.common, node.name) for node in deployed.nodes}
    try:
        await stop_in_turn(settings, directories, STOP_ORDER, LOGGER)
    except SupervisionError as error:
        logger.warning("%s", error)  # what there is serves better than nothing


def _configuration(instance: str, trace: Path, listening: Sequence[int]) -> Configuration:
    """The cluster; where manager, logger and proxy listen, if that is not to be assigned.

    Zeek's workers hand on to a proxy what they find of hosts, services, certificates and software.
    """
    ports = dict(zip((MANAGER, LOGGER, PROXY), map(Port, listening), strict=False))

    def node(name: str, role: ClusterRole, env: dict[str, str] | None = None) -> Node:
        return Node(name, instance, role, State.RUNNING, p=ports.get(name), scripts=(SCRIPT,), env=env or {})

    nodes = (
        node(MANAGER, ClusterRole.MANAGER),
        node(LOGGER, ClusterRole.LOGGER),
        node(PROXY, ClusterRole.PROXY),
        node(WORKER, ClusterRole.WORKER, {PCAP_FILE: str(trace)}),
    )
    return Configuration(instances=(Instance(instance),), nodes=nodes)


def _settings(resolved: Resolved, scratch: Path, clients: int, agents: int, supervisor: int) -> Settings:
    """Those given; what was not given is such that nothing else on this host is in the way.

    Args:
        resolved: what was given.
        scratch: a directory that is removed at the end.
        clients: where the controller may listen for clients.
        agents: where it may for agents.
        supervisor: where the supervisor may listen, whatever port is asked for if that is any.
    """
    settings = resolved.settings

    def unless_given(section: str, **values: object) -> dict[str, object]:
        return {name: value for name, value in values.items() if resolved.origins[f"{section}.{name}"] == DEFAULT}

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
            ),
        ),
        supervisor=msgspec.structs.replace(
            settings.supervisor, **unless_given("supervisor", engine="zeek", port=0, grace=GRACE), rotation_interval=0.0
        ),
        archive=msgspec.structs.replace(settings.archive, enabled=False),
    )
    agent = msgspec.structs.replace(
        chosen.agent,
        **unless_given("agent", port=0, controller=f"{LOOPBACK}:{chosen.controller.port}", start_limit=START_LIMIT),
        # One that reads as fast as it can has no time for questions.
        health_interval=0.0,
    )
    if not chosen.supervisor.port:
        own = msgspec.structs.replace(chosen.supervisor, port=supervisor)
        chosen = msgspec.structs.replace(chosen, supervisor=own)
    if chosen.supervisor.engine == "sim":
        raise ZeekfleetError("a trace needs real Zeek nodes; simulated ones look at no traffic")
    return msgspec.structs.replace(chosen, agent=agent)


def _keep_logs(directory: Path, target: Path) -> int:
    """Move the logger's logs to where the user is; how many."""
    found = sorted(directory.glob("*.log"))
    logs = [file for file in found if not file.name.startswith("management-") and file.name != END_LOG]
    target.mkdir(exist_ok=True)
    for file in logs:
        shutil.move(file, target / file.name)
    return len(logs)
