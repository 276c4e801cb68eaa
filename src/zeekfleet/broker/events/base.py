"""The base classes of events, requests and responses."""

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
    """Whether the event also exists in the first generation, with the same arguments."""


class Response(Event, frozen=True):
    """An event that answers a request; ``reqid`` is the request's."""

    reqid: str

    @classmethod
    def failure(cls, reqid: str, errors: Sequence[str], instance: str | None) -> Self | None:
        """A response that reports errors; None if this kind of response cannot report any.

        Args:
            reqid: the request's id.
            errors: one sentence for each error, for a person.
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
        reqid: the request's id, which the response repeats.
        response: the class of the response, taken from the brackets in the declaration.
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
        """Whether the sender expects a response."""
        return True

    def response_topic(self, topic: str) -> str:
        """The topic of the response to a request that came on ``topic``: the same one."""
        return topic


class FirstSetConfigurationRequest(Request[R_co], frozen=True):
    """A ``set_configuration_request`` of the first generation. Without an id it is not answered."""

    config: Configuration

    @property
    def wants_answer(self) -> bool:
        return bool(self.reqid)


class SupervisorRequest(Request[R_co], frozen=True):
    """A request to the Supervisor, whose responses each have a topic of their own (docs/protocol.md, section 5)."""

    def response_topic(self, topic: str) -> str:
        """Such as ``zeek/supervisor/create_response/<reqid>``."""
        return topics.supervisor_response(self.event_name.rpartition("::")[2].removesuffix("_request"), self.reqid)
