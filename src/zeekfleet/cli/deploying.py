"""Shared by ``stage-config``, ``deploy`` and ``deploy-config``: how they repeat a request and show its outcome."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from zeekfleet.broker.events.base import Event
from zeekfleet.cli.session import NEWS, PATIENCE, REVIVAL, Session
from zeekfleet.client.blocking import BlockingClient, result_of
from zeekfleet.client.carrier import Watch
from zeekfleet.client.news import News
from zeekfleet.client.verbs import deploy as deploy_verb
from zeekfleet.client.verbs import stage_config
from zeekfleet.client.verbs.stage_config import Staged
from zeekfleet.errors import ConnectionLostError
from zeekfleet.model.management import Configuration, fresh_id

ATTEMPTS = 3
"""How often a deployment is requested if the connection to the controller is lost meanwhile."""


def insist(session: Session, deploy: Callable[[BlockingClient], int]) -> int:
    """Connect and have a configuration deployed. Try again if the connection to the controller is lost meanwhile.

    A controller that is started again deploys the former configuration, not the one that was asked for.

    Args:
        session: the verb's session.
        deploy: stages and deploys; returns the exit code.

    Raises:
        ConnectionLostError: the controller was lost :data:`ATTEMPTS` times.
    """
    patience = PATIENCE
    for _ in range(ATTEMPTS - 1):
        try:
            with session.connected(*NEWS, patience=patience) as controller:
                return deploy(controller)
        except ConnectionLostError as error:
            session.messages.warning(f"{error}; the deployment is asked for again")
            patience = REVIVAL
    with session.connected(*NEWS, patience=patience) as controller:
        return deploy(controller)


def show_staged(session: Session, outcome: Staged) -> int:
    """Print the outcome of staging. Returns the exit code."""
    session.output.show(outcome.document(), lambda: stage_config.view(outcome))
    if outcome.id is None and not outcome.errors:
        session.messages.error("the controller does not say that the configuration is staged")
    return 0 if outcome.ok else 1


def deploy(session: Session, controller: BlockingClient, configuration: Configuration | None, *, now: bool) -> int:
    """Deploy the staged configuration, show the progress, and print the outcome. Returns the exit code.

    Args:
        session: the verb's session.
        controller: the controller that has the staged configuration.
        configuration: the staged configuration, if it is known.
        now: see ``--now``.
    """
    news = News(fresh_id())
    try:
        with _shown(session, configuration, news) as show:

            def watch(topic: str, event: Event) -> bool:
                return news.concerns(topic, event) and show(topic, event)

            with controller.watching(watch):
                outcome = result_of(controller.deploy(news=news, now=now))
    except KeyboardInterrupt:
        session.messages.note(f"interrupted; {news.without_us()}")
        raise
    for text in outcome.skipped:
        session.messages.warning(f"skipping unexpected response: {text}")
    session.output.show(outcome.document(), lambda: deploy_verb.view(outcome, news.actions))
    if not outcome.ok and not outcome.errors and all(node.success for node in outcome.nodes):
        session.messages.error("the controller does not say that all of the configuration is deployed")
    return 0 if outcome.ok else 1


def _shown(session: Session, configuration: Configuration | None, news: News) -> AbstractContextManager[Watch]:
    """Show the events of a deployment: as a live table if a person watches, else as a line for each longer wait."""
    if session.output.interactive and not session.messages.quiet:
        from zeekfleet.cli.progress import LiveProgress  # noqa: PLC0415 - rich takes its time to import

        return LiveProgress(configuration or Configuration(), news)

    def tell_waiting(_topic: str, _event: Event) -> bool:
        if text := news.lasting_wait():
            session.messages.warning(text)
        return False

    return nullcontext(tell_waiting)
