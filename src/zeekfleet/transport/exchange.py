"""Runs one connection: hands frames from the link to the session, and the session's outputs to link and router."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable

import msgspec

from zeekfleet.broker.events.base import Request
from zeekfleet.broker.generations import canonical_topic
from zeekfleet.broker.messages import TOPIC_FORBIDDEN, encode_event
from zeekfleet.broker.session import (
    GOING_AWAY,
    POLICY_VIOLATION,
    ClientSession,
    Close,
    Deliver,
    Problem,
    Ready,
    Send,
    ServerSession,
    error_frame,
)
from zeekfleet.broker.topics import EVERYTHING
from zeekfleet.errors import TransportError
from zeekfleet.model.texts import shown
from zeekfleet.security.permissions import Permissions
from zeekfleet.transport.connections import ListenerPolicy, Refused
from zeekfleet.transport.deadline import until
from zeekfleet.transport.link import Link
from zeekfleet.transport.prefixes import common, on_the_wire, reduced
from zeekfleet.transport.router import Router

logger = logging.getLogger(__name__)

Session = ServerSession | ClientSession


async def serve(router: Router, link: Link, session: ServerSession, policy: ListenerPolicy, deadline: float) -> None:
    """Run a connection from a peer that dialled, until it is over.

    Args:
        router: the bus's router.
        link: the upgraded connection.
        session: the protocol's state of this connection.
        policy: the listener's policy; has the function to call if the peer was not allowed to publish something.
        deadline: when the handshake must be complete, in the loop's time.
    """

    def subscribed(ready: Ready) -> None:
        allowed = on_the_wire(EVERYTHING if link.permissions is None else link.permissions.subscribable())
        link.subscriptions = common(reduced(ready.subscriptions), allowed)
        link.peer = msgspec.structs.replace(link.peer, subscriptions=link.subscriptions)
        refused = [prefix for prefix in ready.subscriptions if not common([prefix], allowed)]
        if refused:
            context = f"subscribing to topic '{shown(refused[0])}' is not allowed on this connection"
            _report_forbidden(router, link, "subscribe", context)
            link.send(error_frame(TOPIC_FORBIDDEN, context))

    await _exchange(router, link, session, subscribed, deadline, policy.refused)


async def dial(
    router: Router, link: Link, session: ClientSession, deadline: float, on_ready: Callable[[], None]
) -> None:
    """Run a connection that we made, until it is over; ``on_ready`` is called when its handshake is complete.

    Other arguments as for :func:`serve`.
    """

    def acknowledged(ready: Ready) -> None:
        link.peer = msgspec.structs.replace(link.peer, endpoint=ready.endpoint)
        on_ready()

    link.send(session.opening())
    await _exchange(router, link, session, acknowledged, deadline)


async def _exchange(
    router: Router,
    link: Link,
    session: Session,
    on_ready: Callable[[Ready], None],
    deadline: float,
    refused: Refused | None = None,
) -> None:
    code = GOING_AWAY
    try:
        async with until(deadline) as lift_deadline:

            def ready(output: Ready) -> None:
                lift_deadline()
                on_ready(output)
                router.attach(link)

            await _run(router, link, session, ready, refused)
    except TimeoutError:
        link.reason, code = "handshake timed out", POLICY_VIOLATION
    except TransportError as error:
        link.reason = link.reason or str(error)
    except BaseException:
        link.reason = link.reason or "endpoint closed"
        raise
    finally:
        router.detach(link)
        if not session.ready:
            router.metrics.handshakes_failed += 1
            logger.debug("%s: ended before its handshake was complete: %s", link, link.reason)
        await link.close(code, link.reason)


async def _run(
    router: Router, link: Link, session: Session, on_ready: Callable[[Ready], None], refused: Refused | None
) -> None:
    inbox, metrics = router.inbox, router.metrics
    while True:
        if not inbox.has_room(link.peer.id):
            link.hold(True)
            await inbox.room(link.peer.id)
            link.hold(False)
        frame = await link.receive()
        metrics.frames_in += 1
        for output in session.receive(frame):
            match output:
                case Deliver():
                    permissions = link.permissions
                    if permissions is None or permissions.may_say(output.event, canonical_topic(output.topic)):
                        router.receive(link, output)
                    else:
                        _refuse(router, link, permissions, output, refused)
                case Send():
                    link.send(output.frame)
                case Ready():
                    on_ready(output)
                case Problem():
                    _tell(router, link, output)
                case Close():
                    link.reason = output.reason
                    await link.close(output.code, output.reason)
                    return


def _tell(router: Router, link: Link, problem: Problem) -> None:
    """Log the first problem of a connection, within what is logged of a peer; count and answer it."""
    link.problems += 1
    key = link.peer.host, link.peer.uid, problem.code
    if link.problems == 1 and (text := router.reports.line(key, lambda: f"{link}: {problem.code}: {problem.context}")):
        logger.warning("%s", text, extra={"address": link.peer.place, "error": problem.context})
    if problem.received:
        router.metrics.errors_received += 1
    else:
        router.metrics.decode_errors += 1
    if problem.reply is not None:
        link.send(problem.reply)


def _refuse(router: Router, link: Link, permissions: Permissions, arrived: Deliver, refused: Refused | None) -> None:
    """Drop an event that the peer may not publish; count, log and answer that. A client gets a response to its request.

    A Zeek also forwards events of nodes and agents on other hosts, so from a Zeek this is not a fault.
    """
    if permissions.relays:
        return
    topic, event = canonical_topic(arrived.topic), arrived.event
    context = permissions.refusal(event, topic)
    _report_forbidden(router, link, type(event), context)
    if link.dialled:
        return
    response = None
    if isinstance(event, Request) and permissions.hears_refusals(topic):
        response = event.response.failure(event.reqid, (context,), None)
    if response is None:
        link.send(error_frame(TOPIC_FORBIDDEN, context))
    else:
        link.send(encode_event(topic, response, arrived.generation))
    if refused is not None:
        refused(link.peer, event, context)


def _report_forbidden(router: Router, link: Link, what: Hashable, context: str) -> None:
    """Count it, and log it unless the same user did the same a short time ago."""
    router.metrics.forbidden += 1
    key = link.peer.host, link.peer.uid, what
    if text := router.refusals.line(key, lambda: f"{link}: {TOPIC_FORBIDDEN}: {context}"):
        logger.warning("%s", text, extra={"address": link.peer.place, "error": context})
