"""``python -m zeekfleet.daemon.role FILE``: an agent or controller as its tree starts it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from zeekfleet.daemon import journal
from zeekfleet.daemon.run import run
from zeekfleet.model.enums import Role
from zeekfleet.settings import Settings


class RoleSettings(msgspec.Struct, frozen=True):
    """What a process of a tree is started with, as a file in its directory.

    The release is there so that an upgrade replaces a process that was started by another one.
    """

    role: str
    settings: Settings
    supervisor_port: int
    engine: str
    release: str = ""


def main(file: Path) -> int:
    """Serve in the role that the file tells; the exit code."""
    own = msgspec.json.decode(file.read_bytes(), type=RoleSettings)
    return run(own.settings.common, lambda stop: _serve(own, stop))


async def _serve(own: RoleSettings, stop: asyncio.Event) -> None:
    settings = own.settings
    state = Path(settings.common.state_dir)
    if own.role == Role.AGENT.name:
        from zeekfleet.daemon import agent  # noqa: PLC0415 - each process carries one role only

        with journal.forwarded(state, settings.agent.name, own.role):
            await agent.serve(settings, own.supervisor_port, own.engine, stop)
    else:
        from zeekfleet.daemon import controller  # noqa: PLC0415

        with journal.forwarded(state, settings.controller.name, own.role):
            await controller.serve(settings, stop)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
