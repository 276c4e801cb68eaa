"""The exception tree.

Every error that zeekfleet raises on purpose is one of these. Each has one sentence for a person (what is wrong, where,
what was expected), and its facts as attributes, so that no program has to parse the sentence.

    ZeekfleetError
    ├── ProtocolError            a peer sent what the protocol does not allow
    │   ├── FrameError           a frame is not JSON, or no message
    │   └── ValueMismatchError   a value does not have the declared type (.path)
    ├── UnansweredError          a request got no response (.reqid)
    │   ├── RequestTimeoutError  none came within the deadline (.timeout)
    │   └── FrameTooLargeError   the request or its response is larger than the other side accepts
    ├── RequestFailedError       the answer is that the request failed (.reqid)
    ├── TransportError           a connection could not be made, or was lost
    │   ├── ConnectionLostError  a connection ended before the answer came
    │   ├── CannotConnectError   a connection could not be made (.reason)
    │   │   └── UnreachableError nothing answers at an address (.host, .port)
    │   ├── NotObeyedError       a user that is not trusted listens where we dialled
    │   └── ListenError          an address could not be bound (.host, .port)
    ├── ConfigurationError       a cluster configuration, or its file, is wrong (.errors)
    ├── SettingsError            an option, variable or settings file is wrong (.key)
    ├── TlsFileError             a file for TLS cannot be used (.kind, .path)
    ├── PkiError                 a certificate cannot be made, renewed or revoked
    │   └── JoinRefusedError     an agent may not join with its token (.answer)
    ├── UnitFileError            a systemd unit cannot be made or written
    ├── CommandLineError         a command line cannot be understood (.program)
    ├── StoreError               the store cannot be used
    │   ├── StoreCorruptError    its content cannot be trusted (.path)
    │   ├── StoreVersionError    it was written by a newer zeekfleet (.path, .version)
    │   ├── StoreQuarantinedError one of these two; the file was renamed (.path, .quarantine)
    │   └── StoreWriteError      a write failed
    │       └── StoreFullError   because the disk is full (.directory)
    ├── StateDirectoryError      a directory cannot be used (.path)
    └── SupervisionError         processes cannot be managed
        ├── LaunchError          a node cannot be started (.node, .reason)
        │   └── ShortageError    because the system lacks resources at the moment
        ├── StemError            the stem is gone, or refused a command
        └── NotSupervisorError   the call works in a Supervisor process only
"""

from __future__ import annotations

from collections.abc import Sequence

TYPE_CHECKING = False  # defined here, because importing ``typing`` takes time; type checkers know the name
if TYPE_CHECKING:
    from pathlib import Path


class ZeekfleetError(Exception):
    """Base of all errors of zeekfleet; ``str()`` is one sentence for a person."""


class ProtocolError(ZeekfleetError):
    """A peer sent what the protocol does not allow."""


class FrameError(ProtocolError):
    """A frame is not valid JSON, or not a message of the protocol."""


class ValueMismatchError(ProtocolError):
    """A value does not have the type that is declared for its place.

    Attributes:
        path: the place of the value, from the outside in, such as ``("config", "nodes", "3", "role")``.
        problem: what is wrong there.
    """

    def __init__(self, problem: str, path: tuple[str, ...] = ()) -> None:
        self.problem = problem
        self.path = path
        super().__init__(problem, path)

    def __str__(self) -> str:
        return f"{'.'.join(self.path)}: {self.problem}" if self.path else self.problem

    def within(self, place: str) -> ValueMismatchError:
        """The same error with ``place`` put in front of its path."""
        return ValueMismatchError(self.problem, (place, *self.path))


class UnansweredError(ZeekfleetError):
    """A request got no response.

    Attributes:
        reqid: the request's id.
    """

    def __init__(self, reqid: str, problem: str) -> None:
        self.reqid = reqid
        super().__init__(problem)


class RequestTimeoutError(UnansweredError):
    """No response arrived within the deadline.

    Attributes:
        timeout: the deadline, in seconds.
    """

    def __init__(self, reqid: str, timeout: float) -> None:
        self.timeout = timeout
        super().__init__(reqid, f"request {reqid} was not answered within {timeout:g} s")


class FrameTooLargeError(UnansweredError):
    """The request or its response is larger than the other side accepts, and so was not sent."""


class RequestFailedError(ZeekfleetError):
    """The answer to a request is that it failed.

    Attributes:
        reqid: the request's id.
    """

    def __init__(self, reqid: str, reason: str) -> None:
        self.reqid = reqid
        super().__init__(reason)


class TransportError(ZeekfleetError):
    """A connection could not be made, or was lost."""


class ConnectionLostError(TransportError):
    """A connection ended before the answer came. The request may have been carried out, or not."""


class CannotConnectError(TransportError):
    """A connection could not be made.

    Attributes:
        reason: why, as a part of the sentence: what the last attempt failed with, or what is wrong on our side.
    """

    def __init__(self, sentence: str, reason: str) -> None:
        self.reason = reason
        super().__init__(sentence)


class UnreachableError(CannotConnectError):
    """Nothing answers at an address, after all attempts.

    Attributes:
        host: the address, or a host name.
        port: the port.
    """

    def __init__(self, host: str, port: int, sentence: str, reason: str) -> None:
        self.host = host
        self.port = port
        super().__init__(sentence, reason)


class NotObeyedError(TransportError):
    """The program that listens where we dialled runs as a user that is not trusted."""


class ListenError(TransportError):
    """An address could not be bound.

    Attributes:
        host: the address.
        port: the port.
    """

    def __init__(self, host: str, port: int, reason: str) -> None:
        self.host = host
        self.port = port
        address = f"[{host}]" if ":" in host and not host.startswith(("[", "unix:")) else host
        super().__init__(f"cannot listen on {address}:{port}: {reason}")


class ConfigurationError(ZeekfleetError):
    """A cluster configuration, or its file, is wrong.

    Attributes:
        errors: all problems, one sentence each; sorted where the protocol asks for that.
    """

    def __init__(self, errors: Sequence[str] | str) -> None:
        self.errors: tuple[str, ...] = (errors,) if isinstance(errors, str) else tuple(errors)
        super().__init__("; ".join(self.errors))


class SettingsError(ZeekfleetError):
    """An option, an environment variable or a settings file is wrong.

    Attributes:
        key: the setting, option, variable or file that the sentence is about.
    """

    def __init__(self, key: str, problem: str) -> None:
        self.key = key
        super().__init__(f"{key}: {problem}")


class TlsFileError(ZeekfleetError):
    """A file for TLS cannot be used.

    Attributes:
        kind: what should be in it: ``certificate``, ``key``, ``authorities`` or ``revoked``.
        path: the file.
    """

    def __init__(self, kind: str, path: str, sentence: str) -> None:
        self.kind = kind
        self.path = path
        super().__init__(sentence)


class PkiError(ZeekfleetError):
    """A certificate cannot be made, renewed or revoked."""


class JoinRefusedError(PkiError):
    """An agent may not join with its token; the sentence is for our log.

    Attributes:
        answer: the error for the agent. It does not help an attacker who has no token.
    """

    def __init__(self, reason: str, answer: str = "the token is not accepted: the controller's log says why") -> None:
        self.answer = answer
        super().__init__(reason)


class UnitFileError(ZeekfleetError):
    """A systemd unit cannot be made or written."""


class CommandLineError(ZeekfleetError):
    """A command line cannot be understood; the exit code is 2, as usual for such errors.

    Attributes:
        program: the command, such as ``zeekfleet restart``.
    """

    def __init__(self, problem: str, program: str) -> None:
        self.program = program
        super().__init__(problem)


class StoreError(ZeekfleetError):
    """The store cannot be used."""


class StoreCorruptError(StoreError):
    """The store's content is damaged. The file was not changed.

    Attributes:
        path: the file.
        problem: the sentence without the part that says what happened to the file.
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.problem = f"database {path} is corrupt ({reason})"
        super().__init__(f"{self.problem}; it was left untouched")


class StoreVersionError(StoreError):
    """The store was written by a newer zeekfleet. The file was not changed.

    Attributes:
        path: the file.
        version: its schema version.
        problem: the sentence without the part that says what happened to the file.
    """

    def __init__(self, path: Path, version: int, supported: int) -> None:
        self.path = path
        self.version = version
        self.problem = f"database {path} has schema version {version}, newer than the {supported} this zeekfleet knows"
        super().__init__(f"{self.problem}; it was left untouched")


class StoreQuarantinedError(StoreError):
    """The store cannot be used, and was renamed. The next start makes an empty one.

    Attributes:
        path: its former path.
        quarantine: its new path.
    """

    def __init__(self, problem: str, path: Path, quarantine: Path, names: Sequence[str]) -> None:
        self.path = path
        self.quarantine = quarantine
        super().__init__(
            f"{problem}; it was set aside as {' and '.join(names)}, and the next start begins with an empty one;"
            " to go back to it, stop the controller and rename it back"
        )


class StoreWriteError(StoreError):
    """A write failed. The store still has what was written before."""


class StoreFullError(StoreWriteError):
    """A write failed because the disk is full. The store still has what was written before, and can be read.

    Attributes:
        directory: the directory whose disk is full.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        super().__init__(
            f"no space left in directory {directory}: nothing can be staged or deployed until there is some again"
        )


class StateDirectoryError(ZeekfleetError):
    """A state or spool directory cannot be used.

    Attributes:
        path: the directory.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = path
        super().__init__(f"directory {path} cannot be used: {reason}")


class DirectoryHeldError(StateDirectoryError):
    """Another daemon uses the state directory.

    Attributes:
        holder: that daemon's pid; None if it is not in the lock file.
    """

    def __init__(self, path: Path, holder: int | None) -> None:
        self.holder = holder
        super().__init__(path, f"another zeekfleet daemon holds it (pid {holder or 'unknown'})")


class SupervisionError(ZeekfleetError):
    """Processes cannot be managed."""


class LaunchError(SupervisionError):
    """A node cannot be started as configured.

    Attributes:
        node: the node's name.
        reason: why, as part of a sentence.
    """

    def __init__(self, node: str, reason: str) -> None:
        self.node = node
        self.reason = reason
        super().__init__(f"node '{node}' cannot be started: {reason}")


class ShortageError(LaunchError):
    """The system lacks processes, descriptors or memory at the moment. Nothing is wrong with the node itself."""


class StemError(SupervisionError):
    """The stem is gone, or refused a command."""


class NotSupervisorError(SupervisionError):
    """The call works in a Supervisor process only (docs/protocol.md, section 5)."""
