"""What ``zeekfleet supervise`` does: bring the nodes of a file up, wait, stop them in order."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from zeekfleet.cli import supervise_file
from zeekfleet.cli.supervise_file import Program, SuperviseFile
from zeekfleet.daemon import readiness
from zeekfleet.daemon.directories import held
from zeekfleet.errors import SupervisionError
from zeekfleet.lifecycle.order import start_groups
from zeekfleet.model.launch import Engine
from zeekfleet.supervisor import CommandEngine, NodeExit, Supervisor

logger = logging.getLogger(__name__)


def run(args: argparse.Namespace) -> int:
    """Supervise until told to stop; the exit code.

    Raises:
        ZeekfleetError: the file is wrong, the state directory cannot be used, or a node cannot be created.
    """
    if not logging.getLogger().handlers:
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    content = supervise_file.read(args.file)
    with held(_state_directory(args, content.state_directory)) as state:
        return asyncio.run(_supervise(content, state, args.echo))


def _state_directory(args: argparse.Namespace, configured: Path | None) -> Path:
    if args.state_dir is not None:
        return Path(args.state_dir).absolute()
    if from_environment := os.environ.get("ZEEK_MANAGEMENT_STATE_DIR"):
        return Path(from_environment).absolute()
    file = Path(args.file).absolute()
    return configured or file.with_name(f"{file.name}.state")


async def _supervise(content: SuperviseFile, state: Path, echo: bool) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    engines = _engines(content)
    # Each node brings its engine; the Supervisor's own is that of the first.
    default = engines[content.nodes[0][1]]
    async with Supervisor(state, default, bare_mode=content.bare_mode, echo=echo) as supervisor:
        supervisor.on_node_status(lambda node, pid: logger.info("node '%s' started, pid %d", node, pid))
        supervisor.on_node_exit(_log_exit)
        await _bring_up(supervisor, content, engines, stop)
        if not stop.is_set():
            readiness.announce(f"supervising {len(content.nodes)} nodes, state in {state}")
        await stop.wait()
        readiness.notify("STOPPING=1")
        logger.info("stopping all nodes")
    return 0


async def _bring_up(
    supervisor: Supervisor, content: SuperviseFile, engines: Mapping[Program, Engine], stop: asyncio.Event
) -> None:
    """Keep what already runs just so, stop what should not run, start the rest in order."""
    desired = {config.name: (config, engines[program]) for config, program in content.nodes}
    kept = {name for name in supervisor.status().nodes if name in desired and supervisor.is_launched_as(*desired[name])}
    await supervisor.destroy_all([name for name in supervisor.status().nodes if name not in kept])
    for group in start_groups(config for name, (config, _) in desired.items() if name not in kept):
        if stop.is_set():
            return
        async with asyncio.TaskGroup() as tasks:
            creations = [tasks.create_task(supervisor.create(*desired[config.name])) for config in group]
        for creation in creations:
            if problem := creation.result():
                raise SupervisionError(problem)


def _engines(content: SuperviseFile) -> dict[Program, Engine]:
    engines: dict[Program, Engine] = {}
    for _, program in content.nodes:
        if program in engines:
            continue
        if program.command is not None:
            engines[program] = CommandEngine(program.command)
        else:
            from zeekfleet.node.engines import select  # noqa: PLC0415 - only for nodes that are a Zeek, or play one

            engines[program] = select(program.engine or "auto")
    return engines


def _log_exit(exit_: NodeExit) -> None:
    then = "" if exit_.requested else _then(exit_)
    logger.log(logging.INFO if exit_.requested else logging.WARNING, "node '%s' %s%s", exit_.node, exit_, then)


def _then(exit_: NodeExit) -> str:
    if exit_.revive_in is None:
        return "; it is not started again"
    loop = "; it keeps failing" if exit_.failed else ""
    return f"{loop}; started again {f'in {exit_.revive_in:.1f} s' if exit_.revive_in else 'at once'}"
