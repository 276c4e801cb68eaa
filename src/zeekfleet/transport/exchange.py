"""Runs one connection: frames from the link to the session, the session's outputs to link and router."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from zeekfleet.broker.messages import TOPIC_FORBIDDEN
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
from zeekfleet.errors import TransportError
from zeekfleet.transport.connections import ListenerPolicy
from zeekfleet.transport.deadline import until
from zeekfleet.transport.link import Link
from zeekfleet.transport.prefixes import common, on_the_wire, reduced
from zeekfleet.transport.router import Router

logger = logging.getLogger(__name__)

Session = ServerSession | ClientSession


async def serve(router: Router, link: Link, session: ServerSession, policy: ListenerPolicy, deadline: float) -> None:
    """Run a connection from a peer that dialled, until it is over.

    Args:
        router: the bus's.
        link: the connection, upgraded.
        session: its conversation.
        policy: what the peer may subscribe to.
        deadline: when the handshake must be complete, in the loop's time.
    """

    def subscribed(ready: Ready) -> None:
        allowed = on_the_wire(policy.subscribe)
        link.subscriptions = common(reduced(ready.subscriptions), allowed)
        link.relayed = common(link.subscriptions, on_the_wire(policy.relay))
        refused = [prefix for prefix in ready.subscriptions if not common([prefix], allowed)]
        if refused:
            router.metrics.forbidden += 1
            context = f"subscribing to topic '{refused[0][:200]}' is not allowed on this connection"
            logger.warning("%s: %s", link, context, extra={"address": link.peer.place, "error": context})
            link.send(error_frame(TOPIC_FORBIDDEN, context))

    await _exchange(router, link, session, subscribed, deadline)


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
    router: Router, link: Link, session: Session, on_ready: Callable[[Ready], None], deadline: float
) -> None:
    code = GOING_AWAY
    try:
        async with until(deadline) as lift_deadline:

            def ready(output: Ready) -> None:
                lift_deadline()
                on_ready(output)
                router.attach(link)

            await _run(router, link, session, ready)
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


async def _run(router: Router, link: Link, session: Session, on_ready: Callable[[Ready], None]) -> None:
    inbox, metrics = router.inbox, router.metrics
    problems = 0
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
                    router.receive(link, output)
                case Send():
                    link.send(output.frame)
                case Ready():
                    on_ready(output)
                case Problem():
                    problems += 1
                    _tell(router, link, output, logging.WARNING if problems == 1 else logging.DEBUG)
                case Close():
                    link.reason = output.reason
                    await link.close(output.code, output.reason)
                    return


def _tell(router: Router, link: Link, problem: Problem, level: int) -> None:
    """Log a problem (a peer's first as a warning, so that bad peers cannot fill the log), count and answer it."""
    fields = {"address": link.peer.place, "error": problem.context}
    logger.log(level, "%s: %s: %s", link, problem.code, problem.context, extra=fields)
    if problem.received:
        router.metrics.errors_received += 1
    elif problem.code == TOPIC_FORBIDDEN:
        router.metrics.forbidden += 1
    else:
        router.metrics.decode_errors += 1
    if problem.reply is not None:
        link.send(problem.reply)
