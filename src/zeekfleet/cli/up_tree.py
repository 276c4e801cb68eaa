"""Runs ``zeekfleet up``: starts the tree, then runs the same verbs as a user would."""

from __future__ import annotations

import argparse
import asyncio
import functools
import sys
from collections.abc import Awaitable, Sequence
from contextlib import suppress

import msgspec

from zeekfleet.cli.config_file import read_cluster_file
from zeekfleet.cli.messages import Messages
from zeekfleet.daemon import names, tree
from zeekfleet.daemon.controller_address import parse_controller
from zeekfleet.daemon.run import run as run_daemon
from zeekfleet.errors import SettingsError
from zeekfleet.model.defaults import EVERY_ADDRESS, EVERY_ADDRESS_V6, LOOPBACK, LOOPBACK_V6
from zeekfleet.model.enums import Role
from zeekfleet.resolution import Resolved
from zeekfleet.settings import ControllerSettings, Settings

GRACE = 5.0
"""The most seconds that a verb may take to end when the tree is told to stop."""


def run(args: argparse.Namespace, resolved: Resolved) -> int:
    """Serve until told to stop. Returns the exit code.

    Raises:
        ZeekfleetError: settings or configuration are wrong; nothing was started.
    """
    settings, roles = resolved.settings, (Role.CONTROLLER, Role.AGENT)
    parse_controller(settings.agent.controller)
    words: list[str] = []
    if args.config is not None:
        if not settings.controller.websocket_port:
            raise SettingsError("controller.websocket_port", "must not be 0 where a configuration is to be deployed")
        # The verb that deploys it shows its warnings.
        read_cluster_file(str(args.config), Messages(quiet=True), lax=args.lax, allow_empty=args.allow_empty)
        chosen = {"--lax": args.lax, "--allow-empty": args.allow_empty}
        words = [str(args.config), *(option for option, is_chosen in chosen.items() if is_chosen)]

    def serve(stop: asyncio.Event) -> Awaitable[None]:
        settled = names.settled(resolved, roles)
        serving = functools.partial(_deploy, [*words, "--instance", settled.agent.name], settled) if words else None
        return tree.serve(settled, roles, stop, serving)

    return run_daemon(settings.common, serve)


def joined(resolved: Resolved) -> Resolved:
    """The settings. By default the agent dials this tree's own controller."""
    settings = resolved.settings
    if not resolved.sources["agent.controller"].is_default:
        return resolved
    own = settings.controller
    place = f"{_reachable(own.listen)}:{own.port}" if own.port else "none"
    agent = msgspec.structs.replace(settings.agent, controller=place)
    return msgspec.structs.replace(resolved, settings=msgspec.structs.replace(settings, agent=agent))


async def _deploy(config: Sequence[str], settings: Settings) -> None:
    """Deploy and show the nodes. If the deployment fails, that is shown, and the tree goes on serving."""
    await _verb(settings, "deploy-config", *config)
    await _verb(settings, "get-nodes")


async def _verb(settings: Settings, *words: str) -> None:
    own = settings.controller
    controller = f"{_reachable(own.websocket_listen)}:{own.websocket_port}"
    options = [word for key, value in _certificates(own).items() for word in ("--set", f"ssl.{key}={value}")]
    command = (sys.executable, "-m", "zeekfleet", "--controller", controller, *options, *words)
    # In its own process group: Ctrl-C must reach only the tree, which then ends the verb.
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, process_group=0)
    try:
        await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), GRACE)
            if process.returncode is None:
                process.kill()
                await process.wait()


def _certificates(own: ControllerSettings) -> dict[str, str]:
    """The settings with which a verb connects to this tree's controller over TLS, with the controller's certificate."""
    if not own.tls_certificate:
        return {}
    if not own.tls_ca:
        return {"enable": "true"}
    return {
        "enable": "true",
        "certificate": own.tls_certificate,
        "keyfile": own.tls_key or own.tls_certificate,
        "cafile": own.tls_ca,
    }


def _reachable(listen: str) -> str:
    """The address to connect to a listener that listens on this one."""
    if listen == EVERY_ADDRESS:
        return LOOPBACK
    if listen == EVERY_ADDRESS_V6:
        return f"[{LOOPBACK_V6}]"  # such a listener takes no IPv4
    return f"[{listen}]" if ":" in listen else listen
