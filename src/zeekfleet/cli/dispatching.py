"""Shared by ``net-stats``, ``peer-stats`` and ``set-option``: nodes run an action, and each answer becomes a row."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable

from zeekfleet.cli.nodes import tell_silent
from zeekfleet.cli.session import Session
from zeekfleet.client.blocking import BlockingClient, result_of
from zeekfleet.client.verbs.dispatching import Dispatched
from zeekfleet.client.views import View


def run(
    args: argparse.Namespace,
    verb: Callable[[BlockingClient], Awaitable[Dispatched]],
    view: Callable[[Dispatched], View],
) -> int:
    """Have nodes run an action, and show their answers. Returns the exit code."""
    session = Session(args)
    with session.connected() as controller:
        outcome = result_of(verb(controller))
    session.output.show(outcome.document(), lambda: view(outcome))
    tell_silent(session, outcome.silent)
    return 0 if outcome.ok else 1
