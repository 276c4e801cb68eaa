"""The Supervisor of a daemon, as the operator's settings want it."""

from __future__ import annotations

import logging
from pathlib import Path

from zeekfleet.daemon import readiness
from zeekfleet.model.launch import Engine
from zeekfleet.settings import CommonSettings, SupervisorSettings
from zeekfleet.supervisor import NodeStopping, OutputLimits, Supervisor
from zeekfleet.supervisor.crash import CrashSettings

logger = logging.getLogger(__name__)

EXTENSION = 30
"""Seconds that systemd is asked to wait beyond its own limit, from each sign of a node's work on."""


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
    """A Supervisor that has not been entered yet; until its daemon is up, a failure stops only what it has started.

    Args:
        own: the settings.
        state: the tree's state directory.
        engine: what a node is launched as.
        spool: handed to the engine; below ``state`` when left out.
        bare_mode: what a node without a setting of its own inherits, if the settings do not say it.
        echo: repeat the nodes' output.
        outputs: how large the nodes' output files may become.
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
    """The configured bounds of output files."""
    return OutputLimits(common.output_limit, common.output_kept)


def _tell_of_work(news: NodeStopping) -> None:
    """A node takes its time to end: said to whoever watches, and to what would kill us for taking long ourselves."""
    logger.info("node '%s' is %s", news.node, news, extra={"node": news.node})
    readiness.notify(f"EXTEND_TIMEOUT_USEC={EXTENSION * 1_000_000}\nSTATUS=node '{news.node}' is {news}")
