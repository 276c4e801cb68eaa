"""What every client verb needs: settings, a connection, and a place for its result."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from zeekfleet.broker import topics
from zeekfleet.broker.events.base import Request, Response
from zeekfleet.cli.hurry import hurrying
from zeekfleet.cli.messages import WIRE, Messages
from zeekfleet.cli.showing import Output
from zeekfleet.client.link import Link, Retry, Watch, connect
from zeekfleet.client.settings import ClientSettings
from zeekfleet.client.tls import client_context
from zeekfleet.errors import ProtocolError, UnreachableError

PATIENCE = Retry(delay=0.2, limit=3.0)
"""How long a verb waits for a controller, unless zeek-client's settings say otherwise."""

REVIVAL = Retry(delay=0.2, limit=15.0)
"""The same for one that was there a moment ago: it is being revived."""

LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")

E = TypeVar("E", bound=Response)


def load_settings(args: argparse.Namespace) -> ClientSettings:
    """The client's settings, from everywhere they may come from.

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
    """The way to stderr, having told what is wrong with the settings."""
    messages = Messages(
        quiet=args.quiet or args.verb_quiet, verbosity=settings.verbosity, timestamps=settings.timestamps
    )
    for warning in settings.warnings:
        messages.warning(warning)
    return messages


def hint(host: str) -> str:
    """What to do where no controller answers: most listen on loopback alone."""
    if host in LOOPBACK:
        return "start one with 'zeekfleet up' or 'zeekfleet controller', or name another with --controller HOST:PORT"
    listen = host.strip("[]")
    return f"start one there with 'zeekfleet controller --websocket-listen {listen}', or name another with --controller"


class Session:
    """One verb's settings, messages and output; connects when it is asked to.

    Raises:
        SettingsError: a setting is wrong.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.settings = load_settings(args)
        self.messages = make_messages(args, self.settings)
        self.output = Output(json=args.json or args.verb_json, pretty_json=self.settings.pretty_json)

    @contextmanager
    def connected(self, *subscriptions: str, patience: Retry = PATIENCE) -> Iterator[Connection]:
        """A connection to the controller that also hears the topics given.

        Args:
            subscriptions: the topics.
            patience: how long to wait for it, unless zeek-client's settings say otherwise.

        Raises:
            UnreachableError: nobody answers there.
            TransportError: there is none for another reason.
            SettingsError: a setting is wrong.
        """
        settings = self.settings
        if settings.verbosity >= WIRE and not self.messages.quiet:
            import websocket  # noqa: PLC0415 - for this one switch

            websocket.enableTrace(True)
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
            raise UnreachableError(error.host, error.port, f"{error}; {hint(error.host)}") from None
        with link:
            self.messages.information(f"peered with controller {settings.host}:{settings.port}")
            yield Connection(link, settings.request_timeout)


class Connection:
    """A link that knows how long to wait."""

    def __init__(self, link: Link, timeout: float) -> None:
        self.link = link
        self.is_hurried = False
        """Nodes that are being stopped get no more than their grace, whatever they still write."""
        self._timeout = timeout

    def ask(self, request: Request[Response], response: type[E], watch: Watch | None = None) -> E:
        """Send a request and wait for its response.

        Raises:
            RequestTimeoutError: none came in time.
            TransportError: the connection is lost.
            ProtocolError: what came is no such response.
        """
        if self.is_hurried:
            watch = hurrying(self.link.publish, watch)
        answer = self.link.request(request, self._timeout, watch)
        if not isinstance(answer, response):
            raise ProtocolError(f"{request.event_name} was answered by {answer.event_name}")
        return answer
