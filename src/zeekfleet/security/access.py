"""Decides who may use a listener: on this host only certain users, known by their sockets' owners, and no web page."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

import msgspec

from zeekfleet.model.texts import shown
from zeekfleet.security.reports import Reports
from zeekfleet.security.users import ServedUsers, name_of
from zeekfleet.security.web_pages import OwnNames, is_loopback


class SocketOwner(msgspec.Struct, frozen=True):
    """The owner of a connection from this host.

    Attributes:
        uid: the user.
        program: finds the path of the program, ``""`` if it cannot; this may take a millisecond or two.
    """

    uid: int
    program: Callable[[], str] = lambda: ""


class Refusal(msgspec.Struct, frozen=True):
    """Why a peer is not served.

    Attributes:
        reason: for the peer.
        report: a line for the log; ``""`` if the same was logged a short time ago.
    """

    reason: str
    report: str = ""


class CheckedPeer(msgspec.Struct, frozen=True):
    """A peer that has connected.

    Attributes:
        uid: its user, if it is on this host.
        local: whether it is on this host.
        refusal: why it is not served; None if it is.
    """

    uid: int | None = None
    local: bool = False
    refusal: Refusal | None = None


class AccessControl:
    """Decides who is served. All listeners of a process share one.

    Args:
        users: the users of this host that are served.
        names: the names of this host.
        owner_of: asks the kernel for the owner of a connection; None if it has none on this host.
        reports: limits how often refusals are logged.
    """

    def __init__(
        self,
        users: ServedUsers,
        names: OwnNames,
        owner_of: Callable[[socket.socket], SocketOwner | None],
        reports: Reports | None = None,
    ) -> None:
        self._users = users
        self._names = names
        self._caller_of = owner_of
        self._reports = reports or Reports()

    def including(self, uid: int) -> AccessControl:
        """A copy that also serves the user ``uid``, for one listener, or for programs that we dial."""
        users = msgspec.structs.replace(self._users, uids=self._users.uids | {uid})
        return AccessControl(users, self._names, self._caller_of, self._reports)

    def check(self, connection: socket.socket) -> CheckedPeer:
        """Check a peer that has just connected. Call this while it is connected, before anything is read from it.

        If its socket belongs to a user of this host, that user decides, whatever address the peer used. A peer that
        comes from loopback without such a socket is not served: it has ended, or is in another network namespace.
        Peers on other hosts are served.
        """
        caller = self._caller_of(connection)
        if caller is not None:
            if self._users.admit(caller.uid):
                return CheckedPeer(caller.uid, local=True)
            return CheckedPeer(caller.uid, local=True, refusal=self._stranger(caller))
        is_local = _is_local(connection)
        if is_local is None:
            return CheckedPeer(refusal=Refusal("gone already"))
        return CheckedPeer(local=True, refusal=self._nobody()) if is_local else CheckedPeer()

    def problem_of_listener(self, connection: socket.socket) -> str:
        """Why a program that we have dialled, and that has answered, is not obeyed; ``""`` if it is.

        On this host, those users are obeyed that are served. Whether a program on another host is obeyed is not
        decided here.
        """
        listener = self._caller_of(connection)
        if listener is None:
            return "" if _is_local(connection) is False else "whose program listens there cannot be told"
        if self._users.admit(listener.uid):
            return ""
        program = shown(listener.program())
        who = f"a program of user {name_of(listener.uid)}" + (f", {program}," if program else "")
        return f"{who} listens there, and is not obeyed: see --allow-user and --allow-group"

    def problem(self, peer: CheckedPeer, hosts: Sequence[str], origins: Sequence[str]) -> Refusal | None:
        """Why an upgrade to WebSocket with these headers is refused; None if it is not."""
        problem = self._names.problem(hosts, origins, local=peer.local)
        if problem is None:
            return None
        return Refusal(problem, self._reports.line("upgrade", lambda: f"refused an upgrade: {problem}"))

    def _stranger(self, caller: SocketOwner) -> Refusal:
        user = name_of(caller.uid)

        def text() -> str:
            program = shown(caller.program())
            return f"refused a connection of user {user}" + (f", program {program}" if program else "")

        report = self._reports.line(caller.uid, text)
        return Refusal(f"user {user} is not served here: see --allow-user and --allow-group", report)

    def _nobody(self) -> Refusal:
        text = "refused a connection whose other end belongs to no process of this network namespace"
        report = self._reports.line("nobody", lambda: text)
        return Refusal("whose this connection is cannot be told", report)


def _is_local(connection: socket.socket) -> bool | None:
    """Whether the peer is reached by loopback or a Unix socket; None if it is gone."""
    try:
        return connection.family == socket.AF_UNIX or is_loopback(connection.getpeername()[0])
    except OSError:
        return None
