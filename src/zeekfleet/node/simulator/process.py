"""One simulated node, from its first line to its exit status."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.dispatches import NodePeers
from zeekfleet.broker.events.node import HelloRequest, NodeDispatchRequest, NotifyNodeHello
from zeekfleet.errors import ConfigurationError, ListenError, SettingsError
from zeekfleet.logs.handlers import ManagementLog
from zeekfleet.model.enums import Role
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.node.link import agent_link
from zeekfleet.node.simulator import behaviour, configuration
from zeekfleet.node.simulator.behaviour import Behaviour
from zeekfleet.node.simulator.dispatch import answer, missing_peers
from zeekfleet.node.simulator.identifiers import Identifiers, identifiers
from zeekfleet.node.simulator.metrics import Metrics
from zeekfleet.node.simulator.options import TypeClashError
from zeekfleet.node.simulator.uplink import Uplink

FAILURE = 1
BLOCK = 64 * 1024
BETWEEN_BLOCKS = 0.05
"""Bytes, and the seconds between two of them, of a node that goes on writing."""


def run(environment: Mapping[str, str], directory: Path) -> int:
    """Be a node until SIGTERM or SIGINT, or until it fails.

    Args:
        environment: its configuration, link and behaviour.
        directory: its working directory.

    Returns:
        The exit status: 0 after a signal, 1 (or what the behaviour says) after a failure, told on stderr.
    """
    try:
        conduct = behaviour.read(environment)
        link = agent_link(environment)
        config = configuration.load(environment, directory)
    except (SettingsError, ConfigurationError) as error:
        return _fail(f"error: {error}")
    print(f"zeekfleet simulated node {config.name}: no Zeek, and no traffic is looked at", flush=True)
    if conduct.ignore_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    problem = configuration.missing_input(config, directory)
    if problem is not None:
        return _fail(problem)
    if conduct.fail_at_start:
        return _fail(f"error: node {config.name} fails at its start, as asked for", conduct.fail_at_start)
    try:
        table = identifiers(config, configuration.cluster_nodes_reader(environment, directory), conduct.missing_peers)
    except TypeClashError as error:
        return _fail(f"error in <params>, line 1: {error}")
    try:
        log = ManagementLog(directory, config.name, Role.NODE)
    except OSError as error:
        return _fail(f"error: cannot write in {directory}: {error.strerror}")
    try:
        return asyncio.run(SimulatedNode(config, table, conduct, link, log).live())
    except ListenError as error:
        return _fail(f"error: metrics port of node {config.name}: {error}")
    finally:
        log.close()


def _fail(message: str, status: int = FAILURE) -> int:
    print(message, file=sys.stderr, flush=True)
    return status


class SimulatedNode:
    """A node that is about to run.

    Args:
        config: its configuration.
        table: its identifiers.
        conduct: what it does beside working well.
        link: where its agent is, if it has one.
        log: its management log.
        metrics_port: where to serve metrics instead of what the configuration says (0: any free port).
    """

    def __init__(
        self,
        config: NodeConfig,
        table: Identifiers,
        conduct: Behaviour,
        link: tuple[str, int] | None,
        log: logging.Handler,
        *,
        metrics_port: int | None = None,
    ) -> None:
        self._config = config
        self._conduct = conduct
        self._table = table
        own = config.cluster.get(config.name)
        self._metrics_port = own.metrics_port.number if own and own.metrics_port else None
        if metrics_port is not None:
            self._metrics_port = metrics_port
        self._metrics = Metrics({"node": config.name, "role": own.role.name if own else "NONE"})
        self._log = logging.Logger("node")
        self._log.addHandler(log)
        self._link = link
        self._uplink: Uplink | None = None
        self._stop = asyncio.Event()
        self._since = time.time()
        self._missing: tuple[str, ...] = ()

    @property
    def dispatches(self) -> int:
        """How many dispatches it answered."""
        return self._metrics.dispatches

    def stop(self) -> None:
        """End in good order."""
        self._stop.set()

    async def live(self) -> int:
        """Run until told to stop.

        Raises:
            ListenError: the metrics port cannot be bound.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self.stop)
        if not self._conduct.ignore_sigterm:
            loop.add_signal_handler(signal.SIGTERM, self.stop)
        if self._conduct.crash_after is not None:
            loop.call_later(self._conduct.crash_after, self._crash)
        if not await _waited(self._stop, self._conduct.start_delay):
            await self._serve()
        self._write_on(self._conduct.end_writing)
        self._log.info("node %s ends", self._config.name)
        return 0

    def _write_on(self, seconds: float) -> None:
        """As a logger does that has much to write when it ends; the last line says that it is all there."""
        if not seconds:
            return
        until = time.monotonic() + seconds
        with Path("last.log").open("w") as file:
            while time.monotonic() < until:
                print("x" * BLOCK, file=file, flush=True)
                time.sleep(BETWEEN_BLOCKS)
            print("complete", file=file)

    async def _serve(self) -> None:
        server = await self._metrics.serve(self._metrics_port) if self._metrics_port is not None else None
        try:
            self._write_output()
            self._log.info("node %s is live, simulated", self._config.name)
            async with asyncio.TaskGroup() as tasks:
                linked = tasks.create_task(self._keep_linked())
                await self._stop.wait()
                linked.cancel()
        finally:
            if server is not None:
                server.close()

    async def _keep_linked(self) -> None:
        if self._link is not None:
            host, port = self._link
            self._uplink = Uplink(host, port, self._config.name, self._connected, self._received, self._tell)
            await self._uplink.run()

    def _tell(self, sentence: str) -> None:
        self._metrics.connected = self._uplink is not None and self._uplink.up
        self._log.info("%s", sentence)

    def _connected(self) -> None:
        if self._uplink is not None and not self._conduct.silent:
            self._tell_peers(again=True)  # first, so that whoever hears the hello knows
            self._uplink.send(NotifyNodeHello(node=self._config.name))

    def _tell_peers(self, *, again: bool = False) -> None:
        """Tell who is missing, if that has changed, or somebody is and may not be known to be."""
        missing = missing_peers(self._config.name, self._table)
        if self._uplink is not None and (missing != self._missing or (again and missing)):
            self._uplink.send(NodePeers(self._config.name, missing))
        self._missing = missing

    def _received(self, event: Event) -> None:
        if isinstance(event, HelloRequest):
            self._connected()
        if not isinstance(event, NodeDispatchRequest) or self._conduct.silent or self._uplink is None:
            return
        response = answer(event, self._config.name, self._table, self._since)
        if response is None:
            return
        self._metrics.dispatches += 1
        self._log.debug("dispatch %s: %s", " ".join(event.action), response.result)
        self._uplink.send(response)
        self._tell_peers()

    def _write_output(self) -> None:
        for stream, lines in ((sys.stdout, self._conduct.output), (sys.stderr, self._conduct.errors)):
            if lines:
                text = "".join(f"{line}\n" for line in lines)
                for _ in range(self._conduct.output_repeat):
                    stream.write(text)
                stream.flush()

    def _crash(self) -> None:
        print(f"error: node {self._config.name} crashes, as asked for", file=sys.stderr, flush=True)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.abort()


async def _waited(stop: asyncio.Event, seconds: float) -> bool:
    """Whether the stop came within the time."""
    if not seconds:
        return False
    try:
        async with asyncio.timeout(seconds):
            return await stop.wait()
    except TimeoutError:
        return False
