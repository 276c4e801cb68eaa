"""Whom a listener lets in: users of this host by the owner of their socket, and no web page."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

import msgspec

from zeekfleet.security.reports import Reports
from zeekfleet.security.users import ServedUsers, name_of
from zeekfleet.security.web_pages import OwnNames, is_loopback


class Caller(msgspec.Struct, frozen=True):
    """Whose a connection from this host is.

    Attributes:
        uid: the user's.
        program: finds the path of the program, or ``""``; it may take a millisecond or two.
    """

    uid: int
    program: Callable[[], str] = lambda: ""


class Refusal(msgspec.Struct, frozen=True):
    """Why somebody is not served.

    Attributes:
        reason: for whoever asked.
        report: a line for the log; ``""`` if the like was told not long ago.
    """

    reason: str
    report: str = ""


class Visitor(msgspec.Struct, frozen=True):
    """Who has connected.

    Attributes:
        uid: the user, where it is one of this host.
        local: whether it is on this host.
        refusal: why it is not served; None if it is.
    """

    uid: int | None = None
    local: bool = False
    refusal: Refusal | None = None


class Door:
    """Decides who is served; one for all listeners of a process.

    Args:
        users: who is, of this host's.
        names: this host's.
        caller_of: asks the kernel whose a connection is; None if it belongs to nobody here.
        reports: what is to be told of refusals.
    """

    def __init__(
        self,
        users: ServedUsers,
        names: OwnNames,
        caller_of: Callable[[socket.socket], Caller | None],
        reports: Reports | None = None,
    ) -> None:
        self._users = users
        self._names = names
        self._caller_of = caller_of
        self._reports = reports or Reports()

    def meet(self, connection: socket.socket) -> Visitor:
        """Who has just connected; to be asked while the connection is open, before anything is read from it.

        A peer whose socket belongs to a user of this host is judged by that, whatever address it came by. One that
        comes from loopback and belongs to nobody here, be it gone or in another network namespace, is not served.
        Peers on other hosts are.
        """
        caller = self._caller_of(connection)
        if caller is not None:
            if self._users.admit(caller.uid):
                return Visitor(caller.uid, local=True)
            return Visitor(caller.uid, local=True, refusal=self._stranger(caller))
        try:
            is_local = connection.family == socket.AF_UNIX or is_loopback(connection.getpeername()[0])
        except OSError:
            return Visitor(refusal=Refusal("gone already"))
        return Visitor(local=True, refusal=self._nobody()) if is_local else Visitor()

    def problem(self, visitor: Visitor, hosts: Sequence[str], origins: Sequence[str]) -> Refusal | None:
        """Why an upgrade with these headers is none for us; None if it may be."""
        problem = self._names.problem(hosts, origins, local=visitor.local)
        if problem is None:
            return None
        key = "upgrade"
        text = f"refused an upgrade: {problem}"
        return Refusal(problem, self._reports.line(key, text) if self._reports.due(key) else "")

    def _stranger(self, caller: Caller) -> Refusal:
        user, report = name_of(caller.uid), ""
        if self._reports.due(caller.uid):
            found = ascii(caller.program())[1:-1]
            text = f"refused a connection of user {user}" + (f", program {found}" if found else "")
            report = self._reports.line(caller.uid, text)
        return Refusal(f"user {user} is not served here: see --allow-user and --allow-group", report)

    def _nobody(self) -> Refusal:
        key = "nobody"
        text = "refused a connection whose other end belongs to no process of this network namespace"
        report = self._reports.line(key, text) if self._reports.due(key) else ""
        return Refusal("whose this connection is cannot be told", report)
