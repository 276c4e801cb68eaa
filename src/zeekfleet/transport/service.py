"""Handles requests, in the same way for agent, controller and supervisor.

::

    event on our topic ── handler, by the event's class? ── rule: may this peer ask? ── admission: is there room?
        ── log ── handler ── error guard ── response, on the topic that the request names, to the sender's generation

To add a request to a daemon:

1. Declare it in a module of ``broker/events/`` (any module there is found)::

       class UptimeResponse(ResultResponse, frozen=True):
           event_name: ClassVar[str] = "Zeekfleet::Controller::API::uptime_response"


       class UptimeRequest(Request[UptimeResponse], frozen=True):
           event_name: ClassVar[str] = "Zeekfleet::Controller::API::uptime_request"
           since: float = 0.0

   The response is declared only here. The base classes have the fields ``reqid``, and ``result`` or ``results``. A
   response with other fields is a subclass of :class:`~zeekfleet.broker.events.base.Response`.

2. Write its handler, in one of the classes that the daemon hands to its service::

       @handler
       async def uptime(self, request: UptimeRequest, context: Context) -> UptimeResponse:
           return UptimeResponse(request.reqid, Result(request.reqid, data=await self._uptime(request.since)))

   The annotation of ``request`` says which event the handler is for. A service cannot be made with a handler whose
   response is not the one that the request declares. Nothing else in the daemon has to be changed.

Rules for handlers:

* A handler returns its response and publishes nothing, so that anything can call it, such as a test or a web server.
* A handler that waits for nothing is a plain function. It is called at once, whatever other work is under way, and
  before later events are handled. A handler that waits is an ``async`` function, and runs in a task. Tasks begin in the
  order in which their events arrived.
* If a handler returns ``None``, there is no response: the event is not a request, or one that the protocol leaves
  unanswered. If that follows from the request alone, its class says so (``wants_answer``).
* If a handler cannot do what was asked, it raises :class:`~zeekfleet.errors.RequestFailedError`, or
  ``ConfigurationError`` if the client's configuration is wrong: their texts are sent to the client. Any other error is
  logged, too. If it is not one of zeekfleet's own errors, the client is told only that there was an error.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import types
import typing
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

import msgspec

from zeekfleet.broker.events.base import Event, Request, Response
from zeekfleet.broker.generations import SECOND, Generation
from zeekfleet.errors import ConfigurationError, RequestFailedError, ZeekfleetError
from zeekfleet.transport.admission import Admission
from zeekfleet.transport.bus import Bus, Delivery, Peer

logger = logging.getLogger(__name__)

S = TypeVar("S")
E = TypeVar("E", bound=Event)
A = TypeVar("A", bound=Response | Awaitable[Response | None] | None)


class Context(msgspec.Struct, frozen=True):
    """Who sent a request, and in which generation.

    Attributes:
        peer: the sender.
        generation: the generation of names that it used. Handlers need it where the first generation behaves
            differently.
    """

    peer: Peer
    generation: Generation = SECOND


class Witness(Protocol):
    """Is told of requests and their outcomes, for example to record them."""

    def asked(self, event: Event, peer: Peer) -> None:
        """The request of a peer is about to be carried out."""

    def answered(self, event: Event, peer: Peer, response: Response | None) -> None:
        """The request was carried out; ``response`` is None if it is not answered."""


Rule = Callable[[Event, Context], str | None]
"""Returns why an event of this sender is refused, or None. Called for each event as it arrives, in order."""


def handler(method: Callable[[S, E, Context], A]) -> Callable[[S, E, Context], A]:
    """Mark a method as the handler of the event that its first argument's annotation names."""
    method.__dict__["is_handler"] = True
    return method


def handlers_of(holder: object) -> Iterator[tuple[type[Event], Callable[[Any, Context], Any]]]:
    """The marked methods of an object, by the events that they are for.

    Raises:
        TypeError: a method's annotations are not those of a handler.
    """
    for name, function in inspect.getmembers(type(holder), inspect.isfunction):
        if not function.__dict__.get("is_handler"):
            continue
        request, _, returned = typing.get_type_hints(function).values()
        response = request.response if issubclass(request, Request) else None
        told = set(typing.get_args(returned)) if isinstance(returned, types.UnionType) else {returned}
        if told - {types.NoneType} != ({response} if response is not None else set()):
            raise TypeError(
                f"{function.__qualname__} returns {returned}, but {request.__name__} is answered by {response}"
            )
        yield request, getattr(holder, name)


class Service:
    """Answers the requests on one topic.

    Args:
        bus: the bus on which responses are published.
        topic: the exact topic of the requests. (Subscriptions match prefixes, so events on other topics arrive, too.)
        name: the name of this daemon for a person, such as ``the controller``.
        tasks: the group in which handlers run.
        holders: the objects whose marked methods are the handlers.
        admission: limits how many requests are under way.
        rule: decides who may ask what; by default everybody may ask everything.
        instance: the instance for which an agent answers.
        witness: told of each request before it is carried out, and of its response.
    """

    def __init__(
        self,
        bus: Bus,
        topic: str,
        name: str,
        tasks: asyncio.TaskGroup,
        holders: Iterable[object],
        admission: Admission,
        *,
        rule: Rule = lambda event, context: None,
        instance: str | None = None,
        witness: Witness | None = None,
    ) -> None:
        self._bus = bus
        self._topic = topic
        self._name = name
        self._tasks = tasks
        self._admission = admission
        self._rule = rule
        self._instance = instance
        self._witness = witness
        self._handlers: dict[type[Event], Callable[[Any, Context], Any]] = {}
        for holder in holders:
            for event, method in handlers_of(holder):
                if event in self._handlers:
                    raise TypeError(f"{event.__name__} has two handlers")
                self._handlers[event] = method

    async def hear(self, delivery: Delivery) -> None:
        """Handle an event that has arrived. Events that are not for this service are ignored.

        This waits only if the admission waits for room.
        """
        method = self._handlers.get(type(delivery.event))
        if method is None or delivery.topic != self._topic:
            return
        context = Context(delivery.peer, delivery.generation)
        if problem := self._rule(delivery.event, context):
            if isinstance(delivery.event, Request) and delivery.event.reqid:
                self._reply(delivery, self._failure(delivery.event, (problem,)), to=delivery.peer)
            return
        logger.debug("received %s", type(delivery.event).event_name)
        if not inspect.iscoroutinefunction(method):
            await self._work(method, delivery, context)
        elif await self._admission.admit(_kind(delivery)):
            self._tasks.create_task(self._work_in_turn(method, delivery, context))
        else:
            self._reply(delivery, self._failure(delivery.event, (self._admission.problem,)), to=delivery.peer)

    async def _work_in_turn(self, method: Callable[[Any, Context], Any], delivery: Delivery, context: Context) -> None:
        try:
            await self._work(method, delivery, context)
        finally:
            self._admission.release(_kind(delivery))

    async def _work(self, method: Callable[[Any, Context], Any], delivery: Delivery, context: Context) -> None:
        try:
            if self._witness is not None:
                self._witness.asked(delivery.event, delivery.peer)
            response = method(delivery.event, context)
            if inspect.isawaitable(response):
                response = await response
            self._reply(delivery, response)
        except Exception as error:  # one request must not end the daemon
            self._reply(delivery, self._failure(delivery.event, self._told(delivery.event, error)))

    def _told(self, event: Event, error: Exception) -> tuple[str, ...]:
        """Log an error, unless it is the client's fault. Returns what the client is told."""
        name = type(event).event_name
        match error:
            case RequestFailedError():
                logger.debug("%s is refused: %s", name, error)
            case ConfigurationError():
                logger.debug("%s is refused: %s", name, error)
                return error.errors
            case ZeekfleetError():
                logger.warning("%s failed: %s", name, error, extra={"error": str(error)})
            case _:
                logger.error("%s failed", name, exc_info=error)
                return (f"{self._name} failed; see its log",)
        return (str(error),)

    def _failure(self, event: Event, errors: Iterable[str]) -> Response | None:
        if not isinstance(event, Request):
            return None
        # A path in an error may not be UTF-8.
        sendable = [error.encode(errors="replace").decode() for error in errors]
        return event.response.failure(event.reqid, sendable, self._instance)

    def _reply(self, delivery: Delivery, response: Response | None, to: Peer | None = None) -> None:
        """Answer a request. Others hear that, too, if they may: ``zeek-client monitor`` shows all answers."""
        if self._witness is not None:
            self._witness.answered(delivery.event, delivery.peer, response)
        if response is not None and isinstance(delivery.event, Request) and delivery.event.wants_answer:
            self._bus.reply(delivery, response, to=to)


def _kind(delivery: Delivery) -> Hashable:
    """The kind of a request, for the limit of each kind.

    A controller sends an agent the requests of many clients. So requests that hang, such as those to nodes that do not
    answer, must not take the room of its requests of other kinds.
    """
    return delivery.peer.id, type(delivery.event)
