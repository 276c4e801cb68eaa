"""The stem's table on disk, from which the next stem takes the nodes over.

In ``<state>/stem/``: ``launches``, what nodes are launched with; a journal, ``processes``,
with a line for every change of a node's process, written together for all that change
together; and ``tree``, a random name that the environment variable ``ZEEKFLEET_LAUNCH`` of
every process carries. If any of these is torn or lost, that variable finds the processes
again (``adoption``).

The journal is not synced: it matters when the stem has died, and not when the machine has
stopped, because then all processes are gone (``boot`` tells).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from zeekfleet.lifecycle.revival import RevivalHistory
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.stem.launches import Launches
from zeekfleet.stem.preparation import DIRECTORY_MODE
from zeekfleet.stem.protocol import LastExit
from zeekfleet.system import procfs
from zeekfleet.system.files import remove, write_private
from zeekfleet.system.line_file import LineFile

RECORD_VERSION = 3
DIRECTORY_NAME = "stem"
JOURNAL_NAME = "processes"
TREE_NAME = "tree"
_JOURNAL_SLACK = 2000
"""The journal is written anew when it has this many lines more than there are nodes."""


class ProcessRecord(msgspec.Struct, omit_defaults=True, gc=False):
    """A node's process as the stem knows it; ``pid`` None: no process.

    Times are Unix times, except ``due`` and the ends in ``past``: these are of
    ``CLOCK_MONOTONIC``, which nobody sets, and which all processes of one boot share.
    """

    name: str
    pid: int | None
    start_time: int | None
    stdout_offset: int = 0
    stderr_offset: int = 0
    restarts: int = 0
    since: float = 0.0
    effects: dict[str, str] = msgspec.field(default_factory=dict)
    last_exit: LastExit | None = None
    former: int | None = None
    """Its last process, if it has none now."""
    ended: bool = False
    """It is not started again by itself."""
    failed: bool = False
    """It is in a crash loop, or cannot be started."""
    due: float | None = None
    """When it is to be started again."""
    past: RevivalHistory | None = None
    """What its policy of revival knows."""
    gone: bool = False
    """The node has been destroyed, and its file may still be there."""


def _gone(node: str) -> ProcessRecord:
    return ProcessRecord(node, None, None, gone=True)


def _of_another_boot(record: ProcessRecord) -> ProcessRecord:
    """The same without its process: all nodes are started anew."""
    return msgspec.structs.replace(
        record, pid=None, start_time=None, former=None, ended=False, failed=False, due=None, past=None
    )


class _Head(msgspec.Struct, frozen=True):
    """The journal's first line; a file of a former release has a version, too."""

    version: int = 0
    boot: str = ""


def _head(content: bytes) -> _Head:
    """The head in a line or file; version 0 if it has none."""
    try:
        return msgspec.json.decode(content, type=_Head)
    except msgspec.MsgspecError:
        return _Head()


class Records:
    """The directory of records.

    Args:
        state: the state directory.
        log: takes one line about each file that cannot be used.
        find_tree: tells the name that processes of this state directory carry, if there are any.

    Raises:
        OSError: the directory cannot be made.
    """

    def __init__(
        self, state: Path, log: Callable[[str], None], find_tree: Callable[[], str | None] = lambda: None
    ) -> None:
        self._directory = state / DIRECTORY_NAME
        self._directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        self._log = log
        self._boot = procfs.boot_id()
        self._encoder = msgspec.json.Encoder()
        self._processes: dict[str, ProcessRecord] = {}
        self._journal = LineFile(self._directory / JOURNAL_NAME, log)
        self._is_written = False
        """The journal is ours, and whole: lines can be appended."""
        self._lines = 0
        self._changed: dict[str, ProcessRecord] = {}
        self._gone: set[str] = set()
        self.launches = Launches(self._directory, log)
        self.tree = self._read_tree(find_tree)

    # --- what nodes are launched with

    def load(self, problem_with: Callable[[LaunchSpec], str]) -> Iterator[LaunchSpec]:
        """All launches that can become nodes, without their files. ``processes`` comes first: it reads who is gone."""
        return self.launches.load(self._gone, problem_with)

    def remove(self, node: str) -> None:
        """Forget a node: in the journal at the next :meth:`flush`, what it was launched with at a :meth:`sweep`."""
        self._processes.pop(node, None)
        self.launches.forget(node)
        self._changed[node] = _gone(node)

    def sweep(self) -> None:
        """Remove what belonged to forgotten nodes."""
        self.launches.sweep()

    # --- processes

    def processes(self) -> dict[str, ProcessRecord]:
        """The last line of each node, without its process if that is of another boot; torn lines are skipped."""
        self._remove_former()
        content = procfs.read(str(self._directory / JOURNAL_NAME))
        first, *lines = content.split(b"\n")
        if (version := _head(first).version) > RECORD_VERSION:
            self._set_aside(self._directory / JOURNAL_NAME, f"it has version {version}, not {RECORD_VERSION}")
            return {}
        found: dict[str, ProcessRecord] = {}
        decoder = msgspec.json.Decoder(ProcessRecord)
        for line in lines:
            if line:
                try:
                    record = decoder.decode(line)
                except msgspec.MsgspecError:
                    self._log(f"a line of {JOURNAL_NAME} is torn: processes are found by their mark")
                    continue
                found[record.name] = record
        self._gone = {name for name, record in found.items() if record.gone}
        found = {name: record for name, record in found.items() if not record.gone}
        if content and _head(first).boot != self._boot:
            found = {name: _of_another_boot(record) for name, record in found.items()}
        self._processes = dict(found)
        return found

    def save(self, record: ProcessRecord) -> None:
        """Have the next :meth:`flush` write the record, as it is then."""
        self._processes[record.name] = self._changed[record.name] = record

    def flush(self) -> None:
        """Write all changes to the journal, in one go; a failure is logged.

        A death before that loses nothing: a process is found by its tag, and a node without one has ended unseen.
        """
        if not self._changed:
            return
        changed, self._changed = self._changed, {}
        if not self._is_written or self._lines > len(self._processes) + _JOURNAL_SLACK:
            self.rewrite()
        else:
            # A list: of any other iterable the encoder never lets the iterator go (msgspec 0.22).
            self._is_written = self._journal.append(self._encoder.encode_lines(list(changed.values())))
            self._lines += len(changed)

    def rewrite(self) -> None:
        """Write the journal anew, with one line a node, and one for each that is gone but not removed yet."""
        records = [*self._processes.values(), *(_gone(name) for name in self.launches.dead)]
        lines = [self._encoder.encode(_Head(RECORD_VERSION, self._boot)), *map(self._encoder.encode, records), b""]
        self._is_written = self._journal.replace([b"\n".join(lines)])
        self._lines = len(records)

    def clear(self) -> None:
        """Remove the files: no node is left."""
        self.launches.close()
        self._changed.clear()
        self._journal.remove()
        remove(self._directory / TREE_NAME, self._log)

    # --- files

    def _remove_former(self) -> None:
        """Remove the files of a former release, which kept one for each node; they are not read any more."""
        former = sorted(self._directory.glob("*.json"))
        for path in former:
            if (version := _head(procfs.read(str(path))).version) > RECORD_VERSION:
                self._set_aside(path, f"it has version {version}, not {RECORD_VERSION}")
                continue
            with contextlib.suppress(OSError):
                path.unlink()
        if former:
            self._log(f"{len(former)} records of a former release are not read: nodes are known by their processes")

    def _set_aside(self, path: Path, reason: str) -> None:
        aside = path.with_name(f"{path.name}.unreadable")
        self._log(f"{path} cannot be used ({reason}); set aside as {aside.name}")
        try:
            path.replace(aside)
        except OSError as error:
            self._log(f"cannot rename {path}: {error.strerror}")

    def _read_tree(self, find_tree: Callable[[], str | None]) -> str:
        path = self._directory / TREE_NAME
        name = procfs.read(str(path)).decode("ascii", "replace").strip()
        if len(name) == 16 and name.isalnum():
            return name
        found = find_tree()
        if found is not None:
            self._log(f"{path} is lost: processes of this directory carry the name {found}")
        name = found or os.urandom(8).hex()
        try:
            write_private(path, f"{name}\n".encode())
        except OSError as error:
            self._log(f"cannot write {path}: {error.strerror}")
        return name
