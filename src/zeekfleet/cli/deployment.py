"""Staging and deploying, as the verbs ``stage-config``, ``deploy`` and ``deploy-config`` do it."""

from __future__ import annotations

from zeekfleet.broker import topics
from zeekfleet.broker.events import controller as api
from zeekfleet.broker.events.agent import NotifyChange, NotifyError, NotifyLog
from zeekfleet.broker.events.base import Event
from zeekfleet.cli import tables
from zeekfleet.cli.session import Connection, Session
from zeekfleet.client import report, results
from zeekfleet.client.link import Watch
from zeekfleet.client.results import Deployed, Staged
from zeekfleet.errors import RequestFailedError
from zeekfleet.model.management import Configuration, fresh_id

HEARD = topics.AGENT_PREFIX
"""Also subscribed to while deploying: the agents tell there what becomes of the nodes."""


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
    if session.output.interactive and not session.messages.quiet:
        from zeekfleet.cli.progress import LiveProgress  # noqa: PLC0415 - rich takes its time to import

        with LiveProgress(configuration or _staged(connection)) as progress:
            outcome = _deploy(connection, progress.watch)
    else:
        outcome = _deploy(connection, is_progress)
    for text in outcome.skipped:
        session.messages.warning(f"skipping unexpected response: {text}")
    session.output.show(report.deployed(outcome), lambda: tables.deployed(outcome))
    if not outcome.ok and not outcome.errors and all(node.success for node in outcome.nodes):
        session.messages.error("the controller does not say that all of the configuration is deployed")
    return 0 if outcome.ok else 1


def is_progress(_topic: str, event: Event) -> bool:
    """Whether an event tells that agents are at work, so that waiting on makes sense."""
    return isinstance(event, NotifyChange | NotifyError | NotifyLog)


def _deploy(connection: Connection, watch: Watch) -> Deployed:
    response = connection.ask(api.DeployRequest(fresh_id()), api.DeployResponse, watch)
    return results.read_deployed(response.results)


def _staged(connection: Connection) -> Configuration:
    request = api.GetConfigurationRequest(fresh_id(), deployed=False)
    try:
        return results.read_configuration(connection.ask(request, api.GetConfigurationResponse).result)
    except RequestFailedError:
        return Configuration()  # nothing staged: the deployment will say so
