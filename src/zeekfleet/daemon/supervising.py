"""Builds the Supervisor of a daemon from the settings."""

from __future__ import annotations

import logging
from pathlib import Path

from zeekfleet.daemon import readiness
from zeekfleet.model.launch import Engine
from zeekfleet.settings import CommonSettings, SupervisorSettings
from zeekfleet.supervisor import NodeStopping, OutputLimits, Supervisor
from zeekfleet.supervisor.crash import CrashSettings

logger = logging.getLogger(__name__)

STOP_TIMEOUT_EXTENSION = 30
"""Seconds by which systemd is asked to extend its stop time-out whenever a stopping node is seen to work."""


def supervisor_of(
    own: SupervisorSettings,
    state: Path,
    engine: Engine,
    *,
    spool: Path | None = None,
    bare_mode: bool = False,
    echo: bool = False,
    outputs: OutputLimits = OutputLimits(),  # noqa: B008 - frozen
) -> Supervisor:
    """A Supervisor that has not been entered yet. If its daemon fails to start, only nodes that it started are stopped.

    Args:
        own: the settings.
        state: the tree's state directory.
        engine: launches the nodes.
        spool: passed to the engine; below ``state`` by default.
        bare_mode: bare mode for nodes that do not set it, even if the settings do not ask for it.
        echo: repeat the nodes' output on our own streams.
        outputs: when output files are rotated.
    """
    supervisor = Supervisor(
        state,
        engine,
        spool_directory=spool,
        bare_mode=bare_mode or own.bare_mode,
        report_lines=own.exit_lines,
        echo=echo,
        on_exit=own.on_exit,
        on_failure="retreat",
        crashes=CrashSettings(own.crash_reports, own.crash_days),
        outputs=outputs,
        max_starting=own.max_starting,
        inherit=True,
    )
    supervisor.on_node_stopping(_tell_of_work)
    return supervisor


def outputs_of(common: CommonSettings) -> OutputLimits:
    """When output files are rotated, from the settings."""
    return OutputLimits(common.output_limit, common.output_kept)


def _tell_of_work(news: NodeStopping) -> None:
    """Report that a node takes long to stop: to the log, and to systemd, which would otherwise kill us."""
    logger.info("node '%s' is %s", news.node, news, extra={"node": news.node})
    readiness.notify(f"EXTEND_TIMEOUT_USEC={STOP_TIMEOUT_EXTENSION * 1_000_000}\nSTATUS=node '{news.node}' is {news}")
