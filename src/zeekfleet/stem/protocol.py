"""The messages between a supervisor and the stem, and their frames.

A frame is the length of its body, four bytes in network order, and the body: one
message as JSON. A supervisor sends ``Hello`` first; the stem answers ``Welcome`` or
``Refused``. Every later command has a ``request`` number that its ``Done`` repeats;
events come in between. Times are seconds. ``start_time`` is in the kernel's clock ticks
since boot (field 22 of ``/proc/<pid>/stat``): a pid may be reused, but pid and start time
together are one process. Offsets are sizes of the output files in bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from zeekfleet.errors import StemError
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.release import Release
from zeekfleet.system.process_end import Usage

VERSION = 3
"""Increase it whenever an older peer could misunderstand a message."""

MAX_FRAME = 64 * 1024 * 1024
"""The largest body accepted, in bytes: enough for a welcome with some thousand nodes."""

_HEADER = struct.Struct("!I")


class Message(msgspec.Struct, tag=True, tag_field="type", frozen=True, gc=False):
    """Base of all messages."""


class Hello(Message, frozen=True):
    """The first message on a connection."""

    version: int = VERSION


class Create(Message, frozen=True):
    """Run nodes. The outcome for each is an error text, which is empty if the node exists, even if its start failed.

    A ``recovered`` node keeps its process, and is launched with the new specification from its next start on.
    """

    request: int
    specs: tuple[LaunchSpec, ...]


class Destroy(Message, frozen=True):
    """Stop nodes, all in parallel, and forget them; answered when none of their processes is left."""

    request: int
    names: tuple[str, ...]


class Restart(Message, frozen=True):
    """Stop nodes, all in parallel, and start each anew; answered when each has a new process or failed to."""

    request: int
    names: tuple[str, ...]


class Hurry(Message, frozen=True):
    """Kill nodes that are being stopped when their grace is over, even if they still work; answered at once.

    Without names, this is for all nodes, including those that a ``Shutdown`` has not begun to stop.
    """

    request: int
    names: tuple[str, ...] = ()


class TakenOut(Message, frozen=True):
    """``size`` bytes were removed from the beginning of an output file: its offsets become smaller by as many."""

    request: int
    path: str
    size: int


class Shutdown(Message, frozen=True):
    """Stop all nodes and exit: group after group, each group in parallel, at last the nodes in no group."""

    request: int
    groups: tuple[tuple[str, ...], ...] = ()
    now: bool = False
    """No node gets more time than its grace, as after a ``Hurry``."""


class LastExit(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """How a node's last process ended: fields as in ``Exited``; ``at`` is a Unix time."""

    at: float
    code: int | None = None
    signal: int | None = None
    core_dumped: bool = False
    requested: bool = False
    out_of_memory: bool = False


class NodeReport(msgspec.Struct, frozen=True):
    """All that the stem knows about one node.

    Attributes:
        spec: what it is launched with, without ``files``.
        pid: its process, or the last one; None before the first start.
        start_time: that process's start.
        running: it has a process.
        failed: it is in a crash loop or cannot be started.
        restarts: how often it has been started again.
        stdout_offset: size of its output file when the process started.
        stderr_offset: the same for errors.
        since: the Unix time at which its process started or ended.
        effects: which limits of its process took effect, for a person.
        last_exit: how its last process ended, if one has.
        recovered: its specification was lost, and ``spec`` is what its process shows of it. Without a program it
            cannot be started again. ``Create`` with the same directory and output files completes it.
        next_in: seconds until it is started again; None if it runs, or is not to be started.
    """

    spec: LaunchSpec
    pid: int | None
    start_time: int | None
    running: bool
    failed: bool
    restarts: int
    stdout_offset: int
    stderr_offset: int
    since: float = 0.0
    effects: dict[str, str] = msgspec.field(default_factory=dict)
    last_exit: LastExit | None = None
    recovered: bool = False
    next_in: float | None = None


class Started(Message, frozen=True):
    """A node has a new process; fields as in ``NodeReport``."""

    name: str
    pid: int
    start_time: int
    stdout_offset: int
    stderr_offset: int
    restarts: int = 0
    at: float = 0.0
    effects: dict[str, str] = msgspec.field(default_factory=dict)


class Exited(Message, frozen=True):
    """A node's process ended.

    Attributes:
        code: exit code, None if a signal ended it or it is not known.
        signal: the number of the signal that ended it.
        core_dumped: it left a core.
        requested: it was stopped on request.
        revive_in: seconds until it is started again, None for never.
        failed: it is in a crash loop.
        stdout_offset: size of its output file when it started; ``stdout_end``: when it ended.
        stderr_offset: the same for errors, as ``stderr_end``.
        at: the Unix time of its end.
        uptime: seconds that it lived.
        restarts: how often the node had been started again.
        out_of_memory: the kernel killed it because it used too much memory; its own control group says so.
        usage: the resources that it used, if it was a child of the stem.
        limits: ``/proc/<pid>/limits`` at an abnormal end.
        effects: which limits of its process took effect, for a person.
    """

    name: str
    pid: int
    start_time: int
    code: int | None
    signal: int | None
    core_dumped: bool
    requested: bool
    revive_in: float | None
    failed: bool
    stdout_offset: int
    stdout_end: int
    stderr_offset: int
    stderr_end: int
    at: float = 0.0
    uptime: float = 0.0
    restarts: int = 0
    out_of_memory: bool = False
    usage: Usage | None = None
    limits: str = ""
    effects: dict[str, str] = msgspec.field(default_factory=dict)


class LaunchFailed(Message, frozen=True):
    """A node could not be started; ``revive_in`` and ``failed`` as in ``Exited``."""

    name: str
    reason: str
    revive_in: float | None
    failed: bool


class Stopping(Message, frozen=True):
    """A node that was asked to end gets more time, because it still works.

    Sent every few seconds; not kept for a supervisor that connects later.

    Attributes:
        written: bytes that it has written to anything since it was asked.
        cpu: seconds of CPU that it has used since.
        elapsed: seconds since it was asked.
    """

    name: str
    pid: int
    written: int
    cpu: float
    elapsed: float


class Gone(Message, frozen=True):
    """A node has been destroyed, and the supervisor that asked for it has disconnected before the answer."""

    name: str


Event = Started | Exited | LaunchFailed | Stopping | Gone


class Welcome(Message, frozen=True):
    """The answer to a good ``Hello``.

    Attributes:
        pid: the stem's.
        release: which zeekfleet it runs, in words; former releases sent their version only.
        running: the same, as a record.
        nodes: all nodes as they are now.
        missed: events since the last supervisor disconnected, oldest first; ``dropped`` older ones were not kept.
        stopping: it has been told to stop all nodes and exit.
        changes_user: it can run processes as other users, if it runs as root; a former release cannot.
    """

    version: int
    pid: int
    nodes: tuple[NodeReport, ...]
    missed: tuple[Event, ...]
    dropped: int
    release: str = ""
    stopping: bool = False
    running: Release | None = None
    changes_user: bool = False


class Refused(Message, frozen=True):
    """The connection is closed after this."""

    reason: str


class Done(Message, frozen=True):
    """The answer to a command: an error text for each node concerned, empty where it went well."""

    request: int
    outcomes: dict[str, str]


Command = Create | Destroy | Restart | Hurry | TakenOut | Shutdown
ToStem = Hello | Command
FromStem = Welcome | Refused | Done | Event

_encoder = msgspec.json.Encoder()
to_stem_decoder: msgspec.json.Decoder[ToStem] = msgspec.json.Decoder(ToStem)
from_stem_decoder: msgspec.json.Decoder[FromStem] = msgspec.json.Decoder(FromStem)


def encode(message: Message) -> bytes:
    """One message as a frame."""
    buffer = bytearray()
    append(message, buffer)
    return bytes(buffer)


def append(message: Message, buffer: bytearray) -> None:
    """Add one message as a frame to a buffer."""
    start = len(buffer)
    _encoder.encode_into(message, buffer, start + _HEADER.size)
    _HEADER.pack_into(buffer, start, len(buffer) - start - _HEADER.size)


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bodies that ``data`` completes.

        Raises:
            StemError: a frame is over the limit.
        """
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            (length,) = _HEADER.unpack_from(self._buffer)
            if length > MAX_FRAME:
                raise StemError(f"frame of {length} bytes is over the limit of {MAX_FRAME}")
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            yield body
