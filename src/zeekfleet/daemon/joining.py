"""Lets an agent join a fleet: with a token, it gets its certificate from the controller before it starts.

The key is made here and never leaves this host. The controller is asked twice. The first request, on a connection that
is not verified, asks for the certificate of its authority, which must have the fingerprint in the token. The second
request, on a connection that is verified with that, asks for our own certificate.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from zeekfleet.broker.events.base import Request, Response
from zeekfleet.broker.events.certificates import AuthorityRequest, JoinRequest
from zeekfleet.client.link import Retry, connect
from zeekfleet.daemon.controller_address import parse_controller
from zeekfleet.daemon.directories import prepare
from zeekfleet.daemon.tls import found_files, is_here
from zeekfleet.errors import CannotConnectError, PkiError, SettingsError, UnansweredError
from zeekfleet.model.addresses import address_text
from zeekfleet.model.management import fresh_id
from zeekfleet.model.names import AUTHORITY_KEY, CERTIFICATES, PKI, REVOKED
from zeekfleet.model.texts import shown
from zeekfleet.model.variables import JOIN
from zeekfleet.pki.join_token import JoinToken, fingerprint_of, parse_token
from zeekfleet.resolution import Origin, Resolved, Source
from zeekfleet.security.certificates import date_text, validity_of_file
from zeekfleet.security.identity import Identity, PeerRole, identity_of_peer
from zeekfleet.settings import AgentSettings, Settings
from zeekfleet.system.exposure import private_file_problem
from zeekfleet.transport import tls
from zeekfleet.transport.listener import NO_CERTIFICATE

R = TypeVar("R", bound=Response)

OPTION: Final = "--join"

RETRY: Final = Retry(attempts=3, delay=2.0)
"""How often to try to connect: few times, since a person waits."""

ANSWER: Final = 8.0
"""Seconds to wait for an answer. A controller closes connections without a certificate after ten seconds in all."""

WRONG_HOST: Final = "certificate is not valid for '"
"""What OpenSSL says of a certificate with other names and addresses."""

LONGEST_FILE: Final = 4096
"""The most bytes that are read from a file with a token."""


def given_token(option: str | None, file: Path | None, environment: MutableMapping[str, str]) -> JoinToken:
    """The token that was given by an option, a file or a variable, in this order.

    The variable is removed, so that no process that is started from here inherits it.

    Raises:
        PkiError: it is not a token.
        SettingsError: the file cannot be used.
    """
    variable = environment.pop(JOIN, "")
    if option is not None:
        return parse_token(option)
    if file is not None:
        return parse_token(_read(file))
    return parse_token(variable)


def named_by(token: JoinToken, resolved: Resolved) -> Resolved:
    """The settings, with the agent's name from the token.

    Raises:
        SettingsError: another name was set.
    """
    own, source = resolved.settings.agent, resolved.sources["agent.name"]
    if not source.is_default and own.name != token.name:
        raise SettingsError(source.text, f"'{own.name}' is not the name that the token is for, which is '{token.name}'")
    settings = msgspec.structs.replace(resolved.settings, agent=msgspec.structs.replace(own, name=token.name))
    return Resolved(settings, {**resolved.sources, "agent.name": Source(Origin.OPTION, OPTION)})


def certificate_there(settings: Settings, token: JoinToken | None = None) -> str:
    """A sentence about the certificate that the agent has in its state directory; ``""`` if it has none that is valid.

    Args:
        settings: the settings, with the agent's name.
        token: a token that was given, too.

    Raises:
        SettingsError: certificates are named by settings; a token is of no use then.
    """
    own = settings.agent
    if own.tls_certificate:
        raise SettingsError("agent.tls_certificate", f"does not go with {OPTION}: certificates are kept elsewhere then")
    files = found_files(Path(settings.common.state_dir) / PKI, f"{PeerRole.AGENT}-{own.name}")
    if not files.certificate:
        return ""
    try:
        found = validity_of_file(files.certificate)
    except (OSError, ValueError):
        return ""
    if found.problem():
        return ""
    sentence = f"{files.certificate} is valid until {date_text(found.end)}"
    with contextlib.suppress(OSError, PkiError, UnicodeDecodeError):
        if token and fingerprint_of(Path(files.authorities).read_text(encoding="ascii")) != token.fingerprint:
            sentence += ", and of another authority than the token; to use this, remove the certificate"
    return sentence


def join(settings: Settings, token: JoinToken) -> str:
    """Get a certificate for a token, and write it where the agent looks for it. This blocks for some seconds at most.

    Args:
        settings: the settings, with the token's name as the agent's.
        token: a token that was made on the controller's host.

    Returns:
        a sentence about the certificate.

    Raises:
        SettingsError: there is no controller on another host in the settings.
        PkiError: the controller is not the one that the token is from, or does not accept it.
        TransportError: the controller cannot be reached, or does not answer.
    """
    # The library for certificates takes time and memory, and an agent needs it only here.
    from zeekfleet.pki import building, handout, reading  # noqa: PLC0415

    place = _controller(settings.agent)
    directory = prepare(Path(settings.common.state_dir)) / PKI
    files = handout.Handout(directory / CERTIFICATES, Identity(PeerRole.AGENT, token.name))
    authority = _authority(place, token)
    key = building.make_key()
    files.prepare(authority, replace=True)
    request = JoinRequest(fresh_id(), token.name, token.secret, reading.make_request(key))
    answer = _ask(place, request, _verifying(authority))
    if answer.error:
        raise PkiError(f"the controller at {address_text(*place)} refuses the token: {shown(answer.error)}")
    certificate = reading.read_certificate(answer.certificate.encode(), f"the answer of {address_text(*place)}")
    if (
        reading.identity_of(certificate) != files.identity
        or certificate.public_key() != key.public_key()
        or not reading.is_issued_by(certificate, reading.read_certificate(authority.encode(), "the authority"))
    ):
        raise PkiError(f"what {address_text(*place)} has sent is not a certificate for {files.identity}")
    files.write_key(reading.key_pem(key), replace=True)
    if answer.revoked and not (directory / AUTHORITY_KEY).exists():  # the authority's own list is newer than any other
        handout.replace_file(directory / REVOKED, answer.revoked.encode())
    # With this file, all are there.
    handout.replace_file(files.certificate, reading.certificate_pem(certificate).encode())
    end = date_text(certificate.not_valid_after_utc.timestamp())
    return f"joined as {files.identity}: {files.certificate} is valid until {end}"


def _read(file: Path) -> str:
    try:
        if problem := private_file_problem(file):
            raise SettingsError(f"{OPTION}-file", problem)
        with file.open("rb") as stream:
            return stream.read(LONGEST_FILE).decode("ascii")
    except OSError as error:
        raise SettingsError(f"{OPTION}-file", f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{OPTION}-file", f"{file} holds no token") from None


def _controller(own: AgentSettings) -> tuple[str, int]:
    place = parse_controller(own.controller)
    if place is None or is_here(place[0]):
        raise SettingsError(
            "agent.controller", f"expected the controller's host for {OPTION}: on loopback no certificate is needed"
        )
    return place


def _authority(place: tuple[str, int], token: JoinToken) -> str:
    """The certificate of the controller's authority, as PEM.

    Raises:
        PkiError: it is not the one that the token names.
    """
    unverified = tls.plain_context(ssl.SSLContext, ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    answer = _ask(place, AuthorityRequest(fresh_id()), unverified)
    where = address_text(*place)
    if answer.error:
        raise PkiError(f"the controller at {where} takes no token: {shown(answer.error)}")
    if fingerprint_of(answer.certificate) != token.fingerprint:
        raise PkiError(
            f"the controller at {where} is not the one that the token is from: its authority has another fingerprint."
            " The token was not sent to it"
        )
    return answer.certificate


def _verifying(authority: str) -> ssl.SSLContext:
    """A context that accepts only a controller of this authority, with the name or address that we connect to."""
    context = tls.plain_context(ssl.SSLContext, ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = _ControllersSocket
    context.load_verify_locations(cadata=authority)
    return context


class _ControllersSocket(ssl.SSLSocket):
    """Refuses a peer whose certificate is of the right authority but not a controller's."""

    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        identity = identity_of_peer(self.getpeercert())
        if identity is None or identity.role is not PeerRole.CONTROLLER:
            raise ConnectionError(f"its certificate is that of {identity or 'nobody'}: expected a controller's")


def _ask(place: tuple[str, int], request: Request[R], context: ssl.SSLContext) -> R:
    """The controller's answer.

    Raises:
        TransportError: there is none.
    """
    try:
        with connect(*place, tls=context, retry=RETRY) as link:
            return link.request(request, ANSWER)
    except CannotConnectError as error:
        if WRONG_HOST in str(error):
            raise PkiError(
                f"the certificate of the controller is not for the name or address {place[0]}: make one there with"
                f" 'zeekfleet pki issue controller --host {place[0]} --force'"
            ) from None
        if NO_CERTIFICATE in str(error):
            raise PkiError(
                f"the controller at {address_text(*place)} takes no tokens: there is no authority on its host, see"
                " 'zeekfleet pki init'"
            ) from None
        raise
    except UnansweredError as error:
        raise PkiError(f"the controller at {address_text(*place)} does not answer: {error}") from None
