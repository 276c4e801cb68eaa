"""What an event is, and how a request and its response belong together."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from typing import ClassVar, Generic, Self, TypeVar

import msgspec

from zeekfleet.broker import topics
from zeekfleet.model.management import Configuration, Result


class Event(msgspec.Struct, frozen=True):
    """Base of all events; fields are the arguments, in wire order."""

    event_name: ClassVar[str]
    first_generation: ClassVar[bool] = False
    """Whether the event, with the same arguments, is also of the first generation."""


class Response(Event, frozen=True):
    """An event that answers a request, and has its ``reqid``."""

    reqid: str

    @classmethod
    def failure(cls, reqid: str, errors: Sequence[str], instance: str | None) -> Self | None:
        """The response that tells errors; None if this one cannot tell any.

        Args:
            reqid: of the request.
            errors: a sentence each, for a person.
            instance: the instance that answers, if an agent does.
        """
        return None


class ResultResponse(Response, frozen=True):
    """A response with one result."""

    result: Result

    @classmethod
    def failure(cls, reqid: str, errors: Sequence[str], instance: str | None) -> Self:
        return cls(reqid, Result(reqid, False, instance, error="; ".join(errors)))


class ResultsResponse(Response, frozen=True):
    """A response with several results."""

    results: tuple[Result, ...]

    @classmethod
    def failure(cls, reqid: str, errors: Sequence[str], instance: str | None) -> Self:
        return cls(reqid, tuple(Result(reqid, False, instance, error=error) for error in errors))


class OutcomeResponse(Response, frozen=True):
    """A response that tells only whether something was done."""

    result: bool

    @classmethod
    def failure(cls, reqid: str, errors: Sequence[str], instance: str | None) -> Self:
        return cls(reqid, False)


R_co = TypeVar("R_co", bound=Response, covariant=True)


class Request(Event, Generic[R_co], frozen=True):
    """An event that asks for a response: ``class DeployRequest(Request[DeployResponse], frozen=True)``.

    Attributes:
        reqid: its id, which the response repeats.
        response: the class of the response; taken from the declaration.
    """

    response: ClassVar[type[Response]]
    reqid: str

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for base in cls.__dict__.get("__orig_bases__", ()):
            for argument in typing.get_args(base):
                if isinstance(argument, type):
                    cls.response = argument

    @property
    def wants_answer(self) -> bool:
        """Whether a response is to be sent at all."""
        return True

    def response_topic(self, topic: str) -> str:
        """Where the response goes, if the request came on this topic: to the same one."""
        return topic


class FirstSetConfigurationRequest(Request[R_co], frozen=True):
    """A ``set_configuration_request`` of the first generation: without an id no answer is wanted."""

    config: Configuration

    @property
    def wants_answer(self) -> bool:
        return bool(self.reqid)


class SupervisorRequest(Request[R_co], frozen=True):
    """A request to the Supervisor, which gives each response a topic of its own (docs/protocol.md, section 5)."""

    def response_topic(self, topic: str) -> str:
        """Such as ``zeek/supervisor/create_response/<reqid>``."""
        return topics.supervisor_response(self.event_name.rpartition("::")[2].removesuffix("_request"), self.reqid)
