"""The stem's table on disk, from which the next stem takes the nodes over.

One file a node in ``<state>/stem/``, replaced atomically, versioned. A file that
cannot be read is set aside and does not hinder the others. Nothing is synced: these
records matter after the death of a process, never after that of the machine, whose
processes are gone with it (``boot`` tells).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec

from zeekfleet.errors import LaunchError
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.stem import procfs
from zeekfleet.stem.spawn import DIRECTORY_MODE, FILE_MODE

RECORD_VERSION = 1
DIRECTORY_NAME = "stem"
_LONGEST_NAME = 180


class NodeRecord(msgspec.Struct, frozen=True):
    """One node as the stem last knew it; ``pid`` None: no process."""

    version: int
    boot: str
    spec: LaunchSpec
    pid: int | None
    start_time: int | None
    stdout_offset: int
    stderr_offset: int
    restarts: int


def file_name(node: str) -> str:
    """A file name for any node name, distinct for distinct ones."""
    quoted = quote(node, safe="")
    if len(quoted) > _LONGEST_NAME:
        quoted = quoted[:_LONGEST_NAME] + "~" + hashlib.sha256(node.encode()).hexdigest()
    return f"{quoted}.json"


class Records:
    """The directory of node records.

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
        self.boot = procfs.boot_id()

    def load(self) -> Iterator[NodeRecord]:
        """All records that can be read, by file name."""
        decoder = msgspec.json.Decoder(NodeRecord)
        for path in sorted(self._directory.glob("*.json")):
            try:
                record = decoder.decode(path.read_bytes())
            except (OSError, msgspec.MsgspecError) as error:
                self._set_aside(path, str(error))
                continue
            if record.version > RECORD_VERSION:
                self._set_aside(path, f"version {record.version} is newer than {RECORD_VERSION}")
                continue
            yield record

    def save(self, record: NodeRecord) -> None:
        """Replace a node's record; a failure is logged, since the nodes matter more."""
        self._replace(self._directory / file_name(record.spec.name), msgspec.json.encode(record))

    def put_away(self, spec: LaunchSpec) -> LaunchSpec:
        """The spec without its files, which are kept on disk; the whole spec if that fails.

        In a large cluster every node's files hold the whole layout: not to be kept in memory,
        nor written again at each start.
        """
        if not spec.files:
            return spec
        path = self._files_path(spec.name)
        if not self._replace(path, msgspec.json.encode(spec.files)):
            return spec
        return msgspec.structs.replace(spec, files={})

    def files_of(self, spec: LaunchSpec) -> dict[str, str]:
        """What was put away for a node.

        Raises:
            LaunchError: it cannot be read.
        """
        if spec.files:
            return spec.files
        path = self._files_path(spec.name)
        try:
            return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError) as error:
            raise LaunchError(spec.name, f"its files cannot be read from {path}: {error}") from error

    def remove(self, node: str) -> None:
        """Forget a node."""
        for path in (self._directory / file_name(node), self._files_path(node)):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                self._log(f"cannot remove {path}: {error.strerror}")

    def _files_path(self, node: str) -> Path:
        return (self._directory / file_name(node)).with_suffix(".files")

    def _replace(self, path: Path, content: bytes) -> bool:
        """Write a file whole or not at all; whether it was written."""
        temporary = path.with_name(f"{path.name}.new")
        try:
            temporary.touch(mode=FILE_MODE)
            temporary.write_bytes(content)
            temporary.replace(path)
        except OSError as error:
            self._log(f"cannot write {path}: {error.strerror}")
            return False
        return True

    def _set_aside(self, path: Path, reason: str) -> None:
        aside = path.with_suffix(".unreadable")
        self._log(f"record {path} cannot be used ({reason}); set aside as {aside.name}")
        try:
            path.replace(aside)
        except OSError as error:
            self._log(f"cannot rename {path}: {error.strerror}")
