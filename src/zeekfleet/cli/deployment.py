"""Staging and deploying, as the verbs ``stage-config``, ``deploy`` and ``deploy-config`` do it."""

from __future__ import annotations

from collections.abc import Callable

from zeekfleet.broker import topics
from zeekfleet.broker.events import controller as api
from zeekfleet.broker.events.agent import NotifyChange, NotifyError, NotifyLog
from zeekfleet.broker.events.base import Event
from zeekfleet.broker.events.deployments import (
    AbortDeploymentRequest,
    AbortDeploymentResponse,
    DeploymentOutcome,
    DeploymentProgress,
)
from zeekfleet.cli import tables
from zeekfleet.cli.session import Connection, Session
from zeekfleet.client import report, results
from zeekfleet.client.results import Deployed, Staged
from zeekfleet.errors import RequestFailedError
from zeekfleet.model.deployments import NodeAction
from zeekfleet.model.management import Configuration, fresh_id

HEARD = (topics.AGENT_PREFIX, topics.DEPLOYMENTS)
"""Also subscribed to while deploying: agents and controller tell there how it gets on."""


def stage(connection: Connection, configuration: Configuration) -> Staged:
    """Have the controller keep a configuration."""
    request = api.StageConfigurationRequest(fresh_id(), configuration)
    return results.read_staged(connection.ask(request, api.StageConfigurationResponse).results)


def show_staged(session: Session, outcome: Staged) -> int:
    """Print the outcome and return the exit code."""
    session.output.show(report.staged(outcome), lambda: tables.staged(outcome))
    if outcome.id is None and not outcome.errors:
        session.messages.error("the controller does not say that the configuration is staged")
    return 0 if outcome.ok else 1


def deploy(session: Session, connection: Connection, configuration: Configuration | None = None) -> int:
    """Deploy what is staged, show it to whoever watches, print the outcome and return the exit code.

    Args:
        configuration: what is staged, if that is known.
    """
    news = News(fresh_id())
    try:
        outcome = _watched(session, connection, news, configuration)
    except KeyboardInterrupt:
        session.messages.note(f"interrupted; {news.without_us()}")
        raise
    for text in outcome.skipped:
        session.messages.warning(f"skipping unexpected response: {text}")
    session.output.show(report.deployed(outcome), lambda: tables.deployed(outcome, news.actions))
    if not outcome.ok and not outcome.errors and all(node.success for node in outcome.nodes):
        session.messages.error("the controller does not say that all of the configuration is deployed")
    return 0 if outcome.ok else 1


def _watched(session: Session, connection: Connection, news: News, configuration: Configuration | None) -> Deployed:
    if session.output.interactive and not session.messages.quiet:
        from zeekfleet.cli.progress import LiveProgress  # noqa: PLC0415 - rich takes its time to import

        with LiveProgress(configuration or Configuration(), news) as progress:
            return _deploy(connection, news, progress.watch)
    return _deploy(connection, news, lambda _topic, _event: _tell_waiting(session, news))


def abort(session: Session, connection: Connection) -> int:
    """Have the controller give up the deployment that is under way, print what that means and return the exit code."""
    result = connection.ask(AbortDeploymentRequest(fresh_id()), AbortDeploymentResponse).result
    told = results.read_text(result)
    session.output.show(report.given_up(told), lambda: tables.given_up(told))
    return 0


class News:
    """What the controller tells of one deployment.

    Attributes:
        reqid: the deployment's.
        latest: its last progress, None before the first.
        actions: what is done about each node, as far as it is known.
    """

    def __init__(self, reqid: str) -> None:
        self.reqid = reqid
        self.latest: DeploymentProgress | None = None
        self.actions: tuple[NodeAction, ...] = ()
        self._told = ""
        self._told_again = ""

    def heard(self, topic: str, event: Event) -> bool:
        """Take note of an event; whether it is a sign that waiting on makes sense."""
        if isinstance(event, DeploymentProgress | DeploymentOutcome) and event.reqid == self.reqid:
            self.actions = event.actions
            if isinstance(event, DeploymentProgress):
                self.latest = event
            return True
        # A controller that tells of progress tells of all of it.
        return self.latest is None and is_progress(topic, event)

    def waiting(self) -> str:
        """Such as ``waiting for instance a2 (never connected)``; ``""`` if it waits for nothing but nodes."""
        if self.latest is None:
            return ""
        if self.latest.place:
            count = "1 deployment" if self.latest.place == 1 else f"{self.latest.place} deployments"
            return f"waiting for {count} before this one"
        if self.latest.instances:
            missing = ", ".join(f"{name} ({why})" for name, why in sorted(self.latest.instances.items()))
            return f"waiting for instance{'s' if len(self.latest.instances) > 1 else ''} {missing}"
        return ""

    def without_us(self) -> str:
        """What becomes of the deployment when its client leaves now."""
        if self.waiting():
            return "the controller gives the deployment up, and what runs is left as it is"
        return "the deployment goes on: 'zeekfleet status' shows its nodes, 'zeekfleet deploy --abort' gives it up"

    def lasting_wait(self) -> str:
        """The same, once, when it was told before: what is over at once is not worth a line."""
        told, self._told = self._told, self.waiting()
        if not self._told or self._told != told or self._told == self._told_again:
            return ""
        self._told_again = told
        return told


def _tell_waiting(session: Session, news: News) -> None:
    if text := news.lasting_wait():
        session.messages.warning(text)


def is_progress(_topic: str, event: Event) -> bool:
    """Whether an event tells that agents are at work, so that waiting on makes sense."""
    return isinstance(event, NotifyChange | NotifyError | NotifyLog)


def _deploy(connection: Connection, news: News, show: Callable[[str, Event], None]) -> Deployed:
    def watch(topic: str, event: Event) -> bool:
        is_worth_waiting = news.heard(topic, event)
        if is_worth_waiting or is_progress(topic, event):
            show(topic, event)
        return is_worth_waiting

    response = connection.ask(api.DeployRequest(news.reqid), api.DeployResponse, watch)
    return results.read_deployed(response.results)


def staged(connection: Connection) -> Configuration | None:
    """What is staged; None if nothing is, which the deployment will say."""
    request = api.GetConfigurationRequest(fresh_id(), deployed=False)
    try:
        return results.read_configuration(connection.ask(request, api.GetConfigurationResponse).result)
    except RequestFailedError:
        return None
