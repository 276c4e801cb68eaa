"""The stem's table on disk, from which the next stem takes the nodes over.

In ``<state>/stem/``: a file a node with what it is launched with, written once; one
journal, ``processes``, with a line for every change of a node's process, appended by
a single write; and ``tree``, a random name that the environment variable
``ZEEKFLEET_LAUNCH`` of every process carries. Whatever of these is torn or lost, that
variable finds the processes again (``adoption``).

Nothing is synced: these records matter after the death of a process, never after that
of the machine, whose processes are gone with it (``boot`` tells).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec

from zeekfleet.errors import LaunchError
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.stem import procfs
from zeekfleet.stem.protocol import LastExit
from zeekfleet.stem.spawn import DIRECTORY_MODE, FILE_MODE

RECORD_VERSION = 2
DIRECTORY_NAME = "stem"
JOURNAL_NAME = "processes"
TREE_NAME = "tree"
_LONGEST_NAME = 180
_JOURNAL_SLACK = 2000
"""Lines beyond one a node after which the journal is written anew."""


class SpecRecord(msgspec.Struct, frozen=True):
    """What a node is launched with, its files included."""

    version: int
    spec: LaunchSpec


class ProcessRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A node's process as the stem last knew it; ``pid`` None: no process. The times are Unix times."""

    name: str
    pid: int | None
    start_time: int | None
    stdout_offset: int = 0
    stderr_offset: int = 0
    restarts: int = 0
    since: float = 0.0
    effects: dict[str, str] = msgspec.field(default_factory=dict)
    last_exit: LastExit | None = None
    gone: bool = False
    """The node has been destroyed, and its file may still be there."""


class _Head(msgspec.Struct, frozen=True):
    """The journal's first line."""

    version: int
    boot: str


def file_name(node: str) -> str:
    """A file name for any node name, distinct for distinct ones."""
    quoted = quote(node, safe="")
    if len(quoted) > _LONGEST_NAME:
        quoted = quoted[:_LONGEST_NAME] + "~" + hashlib.sha256(node.encode()).hexdigest()
    return f"{quoted}.json"


class Records:
    """The directory of records.

    Args:
        state: the state directory.
        log: takes one line about each file that cannot be used.

    Raises:
        OSError: the directory cannot be made.
    """

    def __init__(self, state: Path, log: Callable[[str], None]) -> None:
        self._directory = state / DIRECTORY_NAME
        self._directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        self._log = log
        self._boot = procfs.boot_id()
        self._encoder = msgspec.json.Encoder()
        self._processes: dict[str, ProcessRecord] = {}
        self._journal = -1
        self._lines = 0
        self._gone: set[str] = set()
        self.tree = self._read_tree()

    # --- what nodes are launched with

    def load(self) -> Iterator[LaunchSpec]:
        """All that can be read, by file name, without their files; after ``processes``, which tells who is gone."""
        decoder = msgspec.json.Decoder(SpecRecord)
        for path in sorted(self._directory.glob("*.json")):
            try:
                record = decoder.decode(path.read_bytes())
            except (OSError, msgspec.MsgspecError) as error:
                self._set_aside(path, str(error))
                continue
            if record.spec.name in self._gone:
                continue
            if record.version != RECORD_VERSION:
                self._set_aside(path, f"it has version {record.version}, not {RECORD_VERSION}")
                continue
            yield msgspec.structs.replace(record.spec, files={})

    def put_away(self, spec: LaunchSpec) -> LaunchSpec:
        """Keep it on disk, before its first start; the spec without its files, or whole if that fails.

        In a large cluster every node's files hold the whole layout: not to be kept in memory.
        A failure is logged, since the nodes matter more.
        """
        content = self._encoder.encode(SpecRecord(RECORD_VERSION, spec))
        path = self._directory / file_name(spec.name)
        self._gone.discard(spec.name)
        # Nothing runs yet that a torn file could lose: a new one needs no detour.
        written = self._create(path, content) or self._write(path, content)
        return msgspec.structs.replace(spec, files={}) if written else spec

    def files_of(self, spec: LaunchSpec) -> dict[str, str]:
        """What was put away for a node.

        Raises:
            LaunchError: it cannot be read.
        """
        if spec.files:
            return spec.files
        path = self._directory / file_name(spec.name)
        try:
            return msgspec.json.decode(path.read_bytes(), type=SpecRecord).spec.files
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError) as error:
            raise LaunchError(spec.name, f"its files cannot be read from {path}: {error}") from error

    def remove(self, node: str) -> None:
        """Forget a node: at once in the journal, on disk when :meth:`sweep` is called."""
        self._processes.pop(node, None)
        self._gone.add(node)
        if self._journal < 0:
            self.sweep()
        else:
            self._append(self._encoder.encode(ProcessRecord(node, None, None, gone=True)) + b"\n")

    def sweep(self) -> None:
        """Remove the files of nodes that have been forgotten."""
        gone, self._gone = self._gone, set()
        for node in gone:
            path = self._directory / file_name(node)
            try:
                os.unlink(path)  # noqa: PTH108
            except FileNotFoundError:
                continue
            except OSError as error:
                self._log(f"cannot remove {path}: {error.strerror}")

    # --- processes

    def processes(self) -> dict[str, ProcessRecord]:
        """The last line of each node; of another boot, without processes. What is torn is skipped."""
        content = procfs.read(str(self._directory / JOURNAL_NAME))
        head, *lines = content.split(b"\n")
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
        if content and not self._is_of_this_boot(head):
            found = {name: msgspec.structs.replace(record, pid=None, start_time=None) for name, record in found.items()}
        self._processes = dict(found)
        return found

    def save(self, record: ProcessRecord) -> None:
        """Note a change of a node's process; a failure is logged."""
        self._processes[record.name] = record
        if self._journal < 0 or self._lines > len(self._processes) + _JOURNAL_SLACK:
            self.rewrite()
        else:
            self._append(self._encoder.encode(record) + b"\n")

    def rewrite(self) -> None:
        """Write the journal anew, with one line a node."""
        if self._journal >= 0:
            os.close(self._journal)
            self._journal = -1
        lines = [self._encoder.encode(record) for record in self._processes.values()]
        content = b"\n".join([self._encoder.encode(_Head(RECORD_VERSION, self._boot)), *lines, b""])
        path = self._directory / JOURNAL_NAME
        if self._write(path, content):
            try:
                self._journal = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            except OSError as error:
                self._log(f"cannot write {path}: {error.strerror}")
        self._lines = len(lines)

    def clear(self) -> None:
        """No node is left: nor shall a file be."""
        self.sweep()
        if self._journal >= 0:
            os.close(self._journal)
            self._journal = -1
        for name in (JOURNAL_NAME, TREE_NAME):
            (self._directory / name).unlink(missing_ok=True)

    def _append(self, line: bytes) -> None:
        try:
            if os.write(self._journal, line) != len(line):
                self.rewrite()
        except OSError as error:
            self._log(f"cannot write {JOURNAL_NAME}: {error.strerror}")
            os.close(self._journal)
            self._journal = -1
        self._lines += 1

    def _is_of_this_boot(self, head: bytes) -> bool:
        try:
            return msgspec.json.decode(head, type=_Head).boot == self._boot
        except msgspec.MsgspecError:
            return False

    # --- files

    def _read_tree(self) -> str:
        path = self._directory / TREE_NAME
        name = procfs.read(str(path)).decode("ascii", "replace").strip()
        if len(name) == 16 and name.isalnum():
            return name
        name = secrets.token_hex(8)
        self._write(path, f"{name}\n".encode())
        return name

    def _write(self, path: Path, content: bytes) -> bool:
        """Write a file whole or not at all; whether it was written."""
        temporary = f"{path}.new"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
            try:
                written = os.write(descriptor, content)
                while written < len(content):
                    written += os.write(descriptor, content[written:])
            finally:
                os.close(descriptor)
            os.rename(temporary, path)  # noqa: PTH104
        except OSError as error:
            self._log(f"cannot write {path}: {error.strerror}")
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108 - it may hold what room there is
            return False
        return True

    def _create(self, path: Path, content: bytes) -> bool:
        """Write a file that was not there, in one go; whether that could be done."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        except OSError:
            return False
        try:
            return os.write(descriptor, content) == len(content)
        except OSError:
            return False
        finally:
            os.close(descriptor)

    def _set_aside(self, path: Path, reason: str) -> None:
        aside = path.with_suffix(".unreadable")
        self._log(f"record {path} cannot be used ({reason}); set aside as {aside.name}")
        try:
            path.replace(aside)
        except OSError as error:
            self._log(f"cannot rename {path}: {error.strerror}")
