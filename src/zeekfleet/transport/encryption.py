"""How a listener, or a connection that we make, uses TLS."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Protocol

import msgspec

from zeekfleet.security.identity import Identity, PeerRole

TLS_RECORD = b"\x16"
"""The first byte of a TLS handshake. No HTTP request begins with it."""

Context = Callable[[], ssl.SSLContext]
"""Returns the context for the next handshake; it is a new one after its files have changed."""


class ServerTls(msgspec.Struct, frozen=True):
    """TLS at a listener.

    Attributes:
        context: a context for servers. If it requires certificates, these decide who is served.
        plain_here: whether peers on this host whose user is served may also connect without TLS.
    """

    context: Context
    plain_here: bool = False

    @property
    def is_mutual(self) -> bool:
        """Whether certificates decide who is served: each peer needs one, or may show one."""
        return self.context().verify_mode is not ssl.CERT_NONE


class ClientTls(msgspec.Struct, frozen=True):
    """TLS on a connection that we make.

    Attributes:
        context: a context for clients.
        role: the role that the other side's certificate must have; None for any.
        name: the name that it must have; ``""`` for any.
    """

    context: Context
    role: PeerRole | None = None
    name: str = ""

    def problem(self, identity: Identity | None) -> str:
        """Why the owner of a certificate is not who we want to talk to; ``""`` if it is.

        Args:
            identity: the identity in the certificate; None if it has none.
        """
        if self.role is None:
            return ""
        wanted = str(Identity(self.role, self.name)) if self.name else f"{self.role}/NAME"
        if identity is None:
            return f"its certificate is nobody's of this fleet: expected {wanted}"
        if identity.role is not self.role or self.name not in ("", identity.name):
            return f"its certificate is that of {identity}: expected {wanted}"
        return ""


class Encryption(Protocol):
    """Decides how connections that we make are encrypted.

    Attributes:
        insecure: whether other hosts are served, and connected to, that show no certificate.
    """

    insecure: bool

    def problem(self, host: str) -> str:
        """Why we must not connect to this host, as a sentence; ``""`` if we may."""
        ...

    def towards_agent(self, host: str, name: str) -> ClientTls | None:
        """TLS for a connection to an agent; None for plain text.

        Args:
            host: the agent's host, for which there is no :meth:`problem`.
            name: the agent's name.
        """
        ...


class PlainText:
    """No connection is encrypted."""

    insecure = False

    def problem(self, host: str) -> str:
        """There is never a problem."""
        return ""

    def towards_agent(self, host: str, name: str) -> ClientTls | None:
        """There is no TLS."""
        return None
