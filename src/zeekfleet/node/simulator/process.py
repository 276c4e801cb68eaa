"""One simulated node, from its first line to its exit status."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Mapping

from zeekfleet.errors import ConfigurationError, ListenError, SettingsError, StateDirectoryError
from zeekfleet.logs.file import ManagementFile
from zeekfleet.node.link import agent_link
from zeekfleet.node.simulator import behaviour, configuration, events
from zeekfleet.node.simulator.behaviour import Behaviour
from zeekfleet.node.simulator.configuration import Configuration
from zeekfleet.node.simulator.loop import Loop
from zeekfleet.node.simulator.metrics import Metrics
from zeekfleet.node.simulator.uplink import Uplink

TYPE_CHECKING = False  # defined here, because importing ``typing`` takes time; type checkers know the name
if TYPE_CHECKING:
    from typing import Any

    from zeekfleet.node.simulator.identifiers import Identifiers

FAILURE = 1
BLOCK = 64 * 1024
BETWEEN_BLOCKS = 0.05
"""A node that goes on writing writes so many bytes at a time, with so many seconds in between."""


def run(environment: Mapping[str, str], directory: str) -> int:
    """Be a node until SIGTERM or SIGINT, or until it fails.

    Args:
        environment: has the variables for its configuration, its agent's address and its behaviour.
        directory: its working directory.

    Returns:
        The exit status: 0 after a signal, 1 (or what the behaviour says) after a failure, which is reported on stderr.
    """
    try:
        conduct = behaviour.read(environment)
        link = agent_link(environment)
        config = configuration.load(environment, directory)
    except (SettingsError, ConfigurationError) as error:
        return _fail(f"error: {error}")
    _show_name(config.name)
    print(f"zeekfleet simulated node {config.name}: no Zeek, and no traffic is looked at", flush=True)
    if conduct.ignore_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    problem = configuration.missing_input(config.scripts, config.pcap_file, directory)
    if problem is not None:
        return _fail(problem)
    if conduct.fail_at_start:
        return _fail(f"error: node {config.name} fails at its start, as asked for", conduct.fail_at_start)
    globals_ = Globals(config, configuration.cluster_file(environment, directory), conduct.missing_peers)
    if any("=" in script for script in config.scripts) and (problem := globals_.problem()):
        return _fail(f"error in <params>, line 1: {problem}")
    try:
        log = ManagementFile(directory, config.name, "NODE")
    except StateDirectoryError as error:
        return _fail(f"error: {error}")
    try:
        SimulatedNode(config, globals_, conduct, link, log).live()
    except ListenError as error:
        return _fail(f"error: metrics port of node {config.name}: {error}")
    finally:
        log.close()
    return 0


def _fail(message: str, status: int = FAILURE) -> int:
    print(message, file=sys.stderr, flush=True)
    return status


def _show_name(name: str) -> None:
    """Show the node's name instead of Python's in lists of processes. Failures are ignored: nothing depends on it."""
    try:
        with open("/proc/self/comm", "w") as file:
            file.write(f"sim:{name}"[:15])
    except (OSError, ValueError):
        return


class Globals:
    """The node's global identifiers, which are made when they are first needed.

    Args:
        config: the node's configuration.
        cluster_file: the path of the text of ``Cluster::nodes``.
        missing_peers: the nodes that it is not connected to, as text.
    """

    def __init__(self, config: Configuration, cluster_file: str | None, missing_peers: str) -> None:
        self._config = config
        self._cluster_file = cluster_file
        self._missing_peers = missing_peers
        self._table: Identifiers | None = None

    @property
    def table(self) -> Identifiers:
        """All identifiers.

        Raises:
            TypeClashError: an option among the scripts has a value of another type.
        """
        from zeekfleet.node.simulator.identifiers import identifiers  # noqa: PLC0415 - most nodes start without

        if self._table is None:
            self._table = identifiers(self._config, self._cluster_file, self._missing_peers)
        return self._table

    def problem(self) -> str:
        """Zeek's error text for an option whose value has a wrong type; empty if there is none."""
        from zeekfleet.node.simulator.options import TypeClashError  # noqa: PLC0415 - most nodes have no options

        try:
            self.table  # noqa: B018 - reads the options
        except TypeClashError as error:
            return str(error)
        return ""

    def missing_peers(self) -> tuple[str, ...]:
        """The nodes that this node should be connected to, and was told to report as missing."""
        if self._table is None and not self._missing_peers:
            return ()
        from zeekfleet.node.simulator.dispatch import missing_peers  # noqa: PLC0415 - most nodes have no missing peers

        return missing_peers(self._config.name, self.table)


class SimulatedNode:
    """A node that is about to run.

    Args:
        config: its configuration.
        globals_: its identifiers.
        conduct: how it misbehaves, if it does.
        link: the address of its agent, if it has one.
        log: its management log.
    """

    def __init__(
        self,
        config: Configuration,
        globals_: Globals,
        conduct: Behaviour,
        link: tuple[str, int] | None,
        log: ManagementFile,
    ) -> None:
        self._name = config.name
        self._globals = globals_
        self._conduct = conduct
        self._log = log
        self._loop = Loop()
        self._since = time.time()
        self._missing: tuple[str, ...] = ()
        own = config.own
        self._metrics = Metrics({"node": config.name, "role": own.role if own else "NONE"})
        self._metrics_port = own.metrics_port if own else None
        self._uplink: Uplink | None = None
        if link is not None:
            self._uplink = Uplink(self._loop, link, config.name, self._connected, self._received, self._tell)

    def live(self) -> None:
        """Run until told to stop.

        Raises:
            ListenError: the metrics port cannot be bound.
        """
        self._loop.on_signal(signal.SIGINT, self._loop.stop)
        if not self._conduct.ignore_sigterm:
            self._loop.on_signal(signal.SIGTERM, self._loop.stop)
        if self._conduct.crash_after is not None:
            self._loop.timers.after(self._conduct.crash_after, self._crash)
        if self._conduct.start_delay:
            self._loop.timers.after(self._conduct.start_delay, self._serve)
        else:
            self._serve()
        self._loop.run()
        if self._uplink is not None:
            self._uplink.close()
        self._write_on(self._conduct.end_writing)
        self._tell(f"node {self._name} ends")

    def _serve(self) -> None:
        if self._metrics_port is not None:
            self._metrics.serve(self._loop, self._metrics_port)
        self._write_output()
        self._tell(f"node {self._name} is live, simulated")
        if self._uplink is not None:
            self._uplink.dial()

    def _tell(self, sentence: str) -> None:
        self._metrics.connected = self._uplink is not None and self._uplink.is_up
        self._log.write(time.time(), "INFO", sentence, {})

    def _connected(self) -> None:
        if self._uplink is not None and not self._conduct.silent:
            self._tell_peers(again=True)  # before the hello: it may end a deployment, which reports missing peers
            self._uplink.send(events.HELLO, self._name)

    def _tell_peers(self, *, again: bool = False) -> None:
        """Report missing peers if they have changed; with ``again`` also if there are any and the agent may be new."""
        missing = self._globals.missing_peers()
        if self._uplink is not None and (missing != self._missing or (again and missing)):
            self._uplink.send(events.MISSING_PEERS, self._name, missing)
        self._missing = missing

    def _received(self, name: str, arguments: list[Any]) -> None:
        match name, arguments:
            case events.HELLO_REQUEST, _:
                self._connected()
            case events.DISPATCH_REQUEST, [str(reqid), list(action), list(nodes)]:
                if not self._conduct.silent and (not nodes or self._name in nodes):
                    self._answer(reqid, action)

    def _answer(self, reqid: str, action: list[str]) -> None:
        from zeekfleet.node.simulator.dispatch import answer  # noqa: PLC0415 - most nodes start without

        if self._uplink is None:
            return
        data, error = answer(action, self._name, self._globals.table, self._since)
        self._metrics.dispatches += 1
        instance = None
        result = (reqid, error is None, instance, data, error, self._name)
        self._uplink.send(events.DISPATCH_RESPONSE, reqid, result)
        self._tell_peers()

    def _write_output(self) -> None:
        for stream, lines in ((sys.stdout, self._conduct.output), (sys.stderr, self._conduct.errors)):
            if lines:
                text = "".join(f"{line}\n" for line in lines)
                for _ in range(self._conduct.output_repeat):
                    stream.write(text)
                stream.flush()

    def _write_on(self, seconds: float) -> None:
        """Go on writing, like a logger that has much to write when it ends. The last line says that all is written."""
        if not seconds:
            return
        until = time.monotonic() + seconds
        with open("last.log", "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            while time.monotonic() < until:
                print("x" * BLOCK, file=file, flush=True)
                time.sleep(BETWEEN_BLOCKS)
            print("complete", file=file)

    def _crash(self) -> None:
        print(f"error: node {self._name} crashes, as asked for", file=sys.stderr, flush=True)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.abort()
