"""How a listener, or a connection that we make, uses TLS."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Protocol

import msgspec

from zeekfleet.security.identity import Identity, PeerRole

TLS_RECORD = b"\x16"
"""The first byte of whoever begins a TLS handshake. No request of HTTP begins with it."""

Context = Callable[[], ssl.SSLContext]
"""Gives the context for the next handshake. After its files have changed it is another one."""


class ServerTls(msgspec.Struct, frozen=True):
    """TLS at a listener.

    Attributes:
        context: a server's. If it requires certificates, these decide who is served.
        plain_here: peers on this host that are served by their user may also come without TLS.
    """

    context: Context
    plain_here: bool = False

    @property
    def is_mutual(self) -> bool:
        """Whether certificates decide about peers: each needs one, or may show one."""
        return self.context().verify_mode is not ssl.CERT_NONE


class ClientTls(msgspec.Struct, frozen=True):
    """TLS on a connection that we make.

    Attributes:
        context: a client's.
        role: the role that the certificate of the other side must tell; None if any will do.
        name: the name that it must tell beside it; ``""`` if any will do.
    """

    context: Context
    role: PeerRole | None = None
    name: str = ""

    def problem(self, identity: Identity | None) -> str:
        """Why the owner of a certificate is not who we want to talk to; ``""`` if it is.

        Args:
            identity: of the certificate; None if it has none.
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
        """Why this host must not be connected to, as a sentence without its subject; ``""`` if it may."""
        ...

    def towards_agent(self, host: str, name: str) -> ClientTls | None:
        """TLS of a connection to an agent; None if it does without.

        Args:
            host: whom we connect to; one without :meth:`problem`.
            name: the agent's.
        """
        ...


class PlainText:
    """No connection is encrypted."""

    insecure = False

    def problem(self, host: str) -> str:
        """There is never one."""
        return ""

    def towards_agent(self, host: str, name: str) -> ClientTls | None:
        """There is no TLS."""
        return None
