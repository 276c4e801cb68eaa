"""The session of a client verb: its settings, messages, output and connection."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager

from zeekfleet.broker import topics
from zeekfleet.cli.messages import WIRE, Messages
from zeekfleet.cli.showing import Output
from zeekfleet.client.blocking import BlockingClient
from zeekfleet.client.link import Link, Retry, connect
from zeekfleet.client.settings import ClientSettings
from zeekfleet.client.tls import client_context
from zeekfleet.client.websocket import trace
from zeekfleet.errors import UnreachableError
from zeekfleet.model.defaults import THIS_HOST

PATIENCE = Retry(delay=0.2, limit=3.0)
"""How long a verb waits for a controller, unless zeek-client's settings say otherwise."""

REVIVAL = Retry(delay=0.2, limit=15.0)
"""The same for a controller that was connected a moment ago: it is being started again."""

NEWS = (topics.AGENT_PREFIX, topics.DEPLOYMENTS)
"""The topics on which agents and controller report the progress of a deployment."""


def load_settings(args: argparse.Namespace) -> ClientSettings:
    """The client's settings, from all their sources.

    Raises:
        SettingsError: a source cannot be read.
    """
    return ClientSettings.load(
        os.environ,
        file=args.configfile,
        assignments=(*args.set, *args.verb_set),
        controller=args.controller,
        verbosity=args.verbose + args.verb_verbose,
    )


def make_messages(args: argparse.Namespace, settings: ClientSettings) -> Messages:
    """The messages of a verb. Warnings about the settings are written at once."""
    messages = Messages(
        quiet=args.quiet or args.verb_quiet, verbosity=settings.verbosity, timestamps=settings.timestamps
    )
    for warning in settings.warnings:
        messages.warning(warning)
    return messages


def hint(host: str) -> str:
    """What to do if no controller answers. By default a controller listens on loopback only."""
    listen = host.strip("[]")
    if listen in THIS_HOST:
        return "start one with 'zeekfleet up' or 'zeekfleet controller', or name another with --controller HOST:PORT"
    return f"start one there with 'zeekfleet controller --websocket-listen {listen}', or name another with --controller"


class Session:
    """One verb's settings, messages and output, and the way to its controller.

    Raises:
        SettingsError: a setting is wrong.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.settings = load_settings(args)
        self.messages = make_messages(args, self.settings)
        self.output = Output(as_json=args.json or args.verb_json, pretty_json=self.settings.pretty_json)

    @contextmanager
    def connected(self, *subscriptions: str, patience: Retry = PATIENCE) -> Iterator[BlockingClient]:
        """Connect to the controller, for requests.

        Args:
            subscriptions: topics to subscribe to, in addition to the controller's.
            patience: how long to wait for it, unless zeek-client's settings say otherwise.

        Raises:
            UnreachableError: nobody answers there.
            TransportError: there is no connection for another reason.
            SettingsError: a setting is wrong.
        """
        with self.linked(*subscriptions, patience=patience) as link:
            yield BlockingClient(link, self.settings.request_timeout)

    @contextmanager
    def linked(self, *subscriptions: str, patience: Retry = PATIENCE) -> Iterator[Link]:
        """Connect to the controller, for events.

        Args:
            subscriptions: topics to subscribe to, in addition to the controller's.
            patience: how long to wait for it, unless zeek-client's settings say otherwise.

        Raises:
            UnreachableError: nobody answers there.
            TransportError: there is no connection for another reason.
            SettingsError: a setting is wrong.
        """
        settings = self.settings
        if settings.verbosity >= WIRE and not self.messages.quiet:
            trace()
        tls = settings.tls
        retry = Retry(settings.attempts, settings.retry_delay) if settings.waits_as_told else patience
        context = None if tls is None else client_context(tls)
        self.messages.information(f"connecting to controller {settings.host}:{settings.port}")
        heard = (topics.CONTROLLER, *subscriptions)

        def waiting() -> None:
            self.messages.note(f"waiting for the controller at {settings.host}:{settings.port}")

        try:
            link = connect(settings.host, settings.port, heard, tls=context, retry=retry, waiting=waiting)
        except UnreachableError as error:
            sentence = f"{error}; {hint(error.host)}"
            raise UnreachableError(error.host, error.port, sentence, error.reason) from None
        with link:
            self.messages.information(f"peered with controller {settings.host}:{settings.port}")
            yield link
