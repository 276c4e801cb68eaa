"""``python -m zeekfleet.daemon.role FILE``: the command by which a tree starts its agent and its controller."""

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
    """The settings file that a tree writes into the directory of its agent or controller.

    A tree restarts a process whose file differs. The release is one of the fields so that an upgrade restarts it.
    """

    role: str
    settings: Settings
    engine: str
    release: str = ""


def main(file: Path) -> int:
    """Run the agent or the controller, as the file says. Returns the exit code."""
    own = msgspec.json.decode(file.read_bytes(), type=RoleSettings)
    return run(own.settings.common, lambda stop: _serve(own, stop))


async def _serve(own: RoleSettings, stop: asyncio.Event) -> None:
    settings = own.settings
    state = Path(settings.common.state_dir)
    if own.role == Role.AGENT.name:
        from zeekfleet.daemon import agent  # noqa: PLC0415 - each process carries one role only

        with journal.forwarded(state, settings.agent.name, own.role):
            await agent.serve(settings, own.engine, stop)
    else:
        from zeekfleet.daemon import controller  # noqa: PLC0415

        with journal.forwarded(state, settings.controller.name, own.role):
            await controller.serve(settings, stop)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
