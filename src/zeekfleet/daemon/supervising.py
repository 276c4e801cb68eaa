"""The Supervisor of a daemon, as the operator's settings want it."""

from __future__ import annotations

from pathlib import Path

from zeekfleet.model.launch import Engine
from zeekfleet.settings import SupervisorSettings
from zeekfleet.supervisor import Supervisor
from zeekfleet.supervisor.crash import CrashSettings


def supervisor_of(
    own: SupervisorSettings,
    state: Path,
    engine: Engine,
    *,
    spool: Path | None = None,
    bare_mode: bool = False,
    echo: bool = False,
) -> Supervisor:
    """A Supervisor that has not been entered yet; until its daemon is up, a failure stops only what it has started.

    Args:
        own: the settings.
        state: the tree's state directory.
        engine: what a node is launched as.
        spool: handed to the engine; below ``state`` when left out.
        bare_mode: what a node without a setting of its own inherits, if the settings do not say it.
        echo: repeat the nodes' output.
    """
    return Supervisor(
        state,
        engine,
        spool_directory=spool,
        bare_mode=bare_mode or own.bare_mode,
        report_lines=own.exit_lines,
        echo=echo,
        on_exit=own.on_exit,
        on_failure="retreat",
        crashes=CrashSettings(own.crash_reports, own.crash_days),
        max_starting=own.max_starting,
        inherit=True,
    )
