"""``Zeekfleet::``: certificates for agents. An applicant is an agent that has none yet, and a token to get one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from zeekfleet.broker.events.base import Event, Request, Response


class AuthorityResponse(Response, frozen=True):
    """The certificate of the authority, as PEM; an applicant compares it with the fingerprint in its token."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::authority_response"
    certificate: str
    error: str = ""

    @classmethod
    def failure(cls, reqid: str, errors: Sequence[str], instance: str | None) -> Self:
        return cls(reqid, "", "; ".join(errors))


class AuthorityRequest(Request[AuthorityResponse], frozen=True):
    """Which authority do you have?"""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::authority_request"


class JoinResponse(Response, frozen=True):
    """The applicant's certificate and the list of revoked ones, as PEM; or why there are none."""

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::join_response"
    certificate: str
    revoked: str
    error: str = ""

    @classmethod
    def failure(cls, reqid: str, errors: Sequence[str], instance: str | None) -> Self:
        return cls(reqid, "", "", "; ".join(errors))


class JoinRequest(Request[JoinResponse], frozen=True):
    """Give me a certificate.

    Attributes:
        name: of the agent that the token is for.
        secret: of the token.
        request: for a certificate (PKCS #10), as PEM; only its key counts.
    """

    event_name: ClassVar[str] = "Zeekfleet::Controller::API::join_request"
    name: str
    secret: str
    request: str


class RenewalResponse(Response, frozen=True):
    """A certificate for the same agent, hosts and key, as PEM; or why there is none."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::renewal_response"
    certificate: str
    error: str = ""

    @classmethod
    def failure(cls, reqid: str, errors: Sequence[str], instance: str | None) -> Self:
        return cls(reqid, "", "; ".join(errors))


class RenewalRequest(Request[RenewalResponse], frozen=True):
    """Renew my certificate. The connection must have been made with a certificate of the same agent.

    Attributes:
        instance: the agent.
        certificate: the present one, as PEM.
    """

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::renewal_request"
    instance: str
    certificate: str


class RevokedCertificates(Event, frozen=True):
    """The authority's list of revoked certificates, as PEM; said to each agent that connects."""

    event_name: ClassVar[str] = "Zeekfleet::Agent::API::revoked_certificates"
    list: str
