"""The stem's records on disk, from which the next stem takes the nodes over.

They are three files in ``<state>/stem/``. ``launches`` has nodes' launch specifications.
``processes`` is a journal with a line for every change of a node's process; lines of
changes that happen together are written together. ``tree`` has a random name, which every
process carries in the environment variable ``ZEEKFLEET_LAUNCH``. If any of these files is
torn or lost, the processes are found by that variable (``adoption``).

The journal is not synced. It is needed when the stem has died; after a crash of the machine
it is not, because then all processes are gone (the journal says of which boot it is).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from zeekfleet.lifecycle.revival import RevivalHistory
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.stem.environment_tag import is_name
from zeekfleet.stem.launches import Launches
from zeekfleet.stem.protocol import LastExit
from zeekfleet.system import procfs
from zeekfleet.system.files import remove, write_private
from zeekfleet.system.line_file import LineFile
from zeekfleet.system.node_files import DIRECTORY_MODE

RECORD_VERSION = 3
DIRECTORY_NAME = "stem"
JOURNAL_NAME = "processes"
TREE_NAME = "tree"
_JOURNAL_SLACK = 2000
"""The journal is written anew when it has this many lines more than there are nodes."""


class ProcessRecord(msgspec.Struct, omit_defaults=True, gc=False):
    """What the stem knows of a node's process. If ``pid`` is None, there is no process.

    Times are Unix times, except ``due`` and the times in ``past``: these are of
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
    """It has ended and will not be started again."""
    failed: bool = False
    """It is in a crash loop, or cannot be started."""
    due: float | None = None
    """When it is to be started again."""
    past: RevivalHistory | None = None
    """The node's history, by which its revival policy decides."""
    gone: bool = False
    """The node has been destroyed, and its launch may still be in ``launches``."""


def _gone(node: str) -> ProcessRecord:
    return ProcessRecord(node, None, None, gone=True)


def _of_another_boot(record: ProcessRecord) -> ProcessRecord:
    """A record of another boot, without its process: all nodes are started anew."""
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
        log: writes a line about each file that cannot be used.
        find_tree: returns the name of the tree that processes of this state directory carry, if there are any.

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
        """This stem has written the whole journal, so lines can be appended."""
        self._lines = 0
        self._changed: dict[str, ProcessRecord] = {}
        self._gone: set[str] = set()
        self.launches = Launches(self._directory, log)
        self.tree = self._read_tree(find_tree)

    # --- what nodes are launched with

    def load(self, problem_with: Callable[[LaunchSpec], str]) -> Iterator[LaunchSpec]:
        """All specifications that can become nodes, without their files.

        Call :meth:`processes` first: it reads which nodes are gone.
        """
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
        """Let the next :meth:`flush` write the record, with the values that it has then."""
        self._processes[record.name] = self._changed[record.name] = record

    def flush(self) -> None:
        """Write all changes to the journal with a single write; a failure is logged.

        If the stem dies before that, nothing is lost: the next stem finds a process by its tag, and takes a node
        without one as ended.
        """
        if not self._changed:
            return
        changed, self._changed = self._changed, {}
        if not self._is_written or self._lines > len(self._processes) + _JOURNAL_SLACK:
            self.rewrite()
        else:
            # A list, because the encoder leaks the iterator of any other iterable (msgspec 0.22).
            self._is_written = self._journal.append(self._encoder.encode_lines(list(changed.values())))
            self._lines += len(changed)

    def rewrite(self) -> None:
        """Write the journal anew: a line for each node, and for each destroyed one that is not removed yet."""
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
        if is_name(name):
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
