"""Hooks that get output lines, and callbacks that get starts and ends of nodes."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import TextIO

from zeekfleet.model.texts import printable
from zeekfleet.supervisor.records import NodeExit, NodeStopping

logger = logging.getLogger(__name__)

Hook = Callable[[str, str], bool]
"""Gets a node's name (empty: the stem itself) and a line. If it returns False, the line is not echoed."""

FAILURES = (Exception, asyncio.CancelledError)
"""What a hook or callback may raise without harm to the others.

``CancelledError`` is one of them: these are plain calls, so it cannot mean that our own task is cancelled.
"""

StatusCallback = Callable[[str, int], None]
ExitCallback = Callable[[NodeExit], None]
StoppingCallback = Callable[[NodeStopping], None]


class Listeners:
    """The registered hooks and callbacks. If one raises, that is logged, and the others are called all the same.

    Args:
        echo: repeat the nodes' lines on this process's own streams.
    """

    def __init__(self, echo: bool) -> None:
        self.echo = echo
        self.stdout_hooks: list[Hook] = []
        self.stderr_hooks: list[Hook] = []
        self.status_callbacks: list[StatusCallback] = []
        self.exit_callbacks: list[ExitCallback] = []
        self.stopping_callbacks: list[StoppingCallback] = []

    @property
    def want_lines(self) -> bool:
        """Whether any hook or the echo needs output lines."""
        return self.echo or bool(self.stdout_hooks or self.stderr_hooks)

    def stdout_line(self, node: str, line: str) -> None:
        """A node wrote a line."""
        self._line(self.stdout_hooks, sys.stdout, node, line)

    def stderr_line(self, node: str, line: str) -> None:
        """A node wrote a line on its standard error."""
        self._line(self.stderr_hooks, sys.stderr, node, line)

    def started(self, node: str, pid: int) -> None:
        """A node has a new process."""
        for callback in self.status_callbacks:
            try:
                callback(node, pid)
            except FAILURES:
                logger.exception("callback on the start of node '%s' failed", node, extra={"node": node})

    def ended(self, exit_: NodeExit) -> None:
        """A node's process ended."""
        for callback in self.exit_callbacks:
            try:
                callback(exit_)
            except FAILURES:
                logger.exception("callback on the end of node '%s' failed", exit_.node, extra={"node": exit_.node})

    def stopping(self, news: NodeStopping) -> None:
        """A node that was asked to end is still working."""
        for callback in self.stopping_callbacks:
            try:
                callback(news)
            except FAILURES:
                logger.exception("callback on the stop of node '%s' failed", news.node, extra={"node": news.node})

    def _line(self, hooks: list[Hook], stream: TextIO, node: str, line: str) -> None:
        wanted = True
        for hook in hooks:
            try:
                wanted = hook(node, line) is not False and wanted
            except FAILURES:
                logger.exception("hook on a line of node '%s' failed", node, extra={"node": node})
        if self.echo and wanted:
            self._echo(stream, f"[{node or 'stem'}] {printable(line)}\n")

    def _echo(self, stream: TextIO, line: str) -> None:
        try:
            stream.write(line)
            stream.flush()
        except (OSError, ValueError) as error:
            self.echo = False
            logger.warning("output of nodes is no longer echoed: %s", error, extra={"error": str(error)})


class Registry:
    """Where hooks and callbacks are registered: a part of the Supervisor.

    Args:
        listeners: where they are kept.
        wanted: called when a hook on output lines was registered.
    """

    def __init__(self, listeners: Listeners, wanted: Callable[[], None]) -> None:
        self._listeners = listeners
        self._wanted = wanted

    def stdout_hook(self, hook: Hook) -> Hook:
        """Register a hook on the lines of all nodes' standard output; can be used as a decorator."""
        self._listeners.stdout_hooks.append(hook)
        self._wanted()
        return hook

    def stderr_hook(self, hook: Hook) -> Hook:
        """The same for standard error."""
        self._listeners.stderr_hooks.append(hook)
        self._wanted()
        return hook

    def on_node_status(self, callback: StatusCallback) -> StatusCallback:
        """Register a callback that gets name and pid at every (re)start of a node."""
        self._listeners.status_callbacks.append(callback)
        return callback

    def on_node_exit(self, callback: ExitCallback) -> ExitCallback:
        """Register a callback that gets a report when a node's process has ended, or could not be started."""
        self._listeners.exit_callbacks.append(callback)
        return callback

    def on_node_stopping(self, callback: StoppingCallback) -> StoppingCallback:
        """Register a callback that is called every few seconds while a node that was asked to end is still working."""
        self._listeners.stopping_callbacks.append(callback)
        return callback
