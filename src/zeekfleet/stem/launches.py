"""Keeps nodes' launch specifications on disk, in one file: a file for each node would cost most of its start.

The file ``launches`` has a line for each specification. The lines of nodes that are created together are appended by
a single write. If a node has several lines, the last one counts. A destroyed node is first marked in the journal
(``records``), and a moment later by a line here. The file is written anew when the lines that no longer count
outweigh the others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import msgspec

from zeekfleet.errors import LaunchError
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.system.line_file import LineFile

LAUNCHES_NAME = "launches"
UNREADABLE_NAME = "launches.unreadable"
LAUNCH_VERSION = 3
VERSION_WITH_USER = 4
"""The version of a launch as another user. An older stem, which would start the node as its own user, refuses it."""

_SLACK = 1024 * 1024
"""The file is written anew when lines that no longer count have more bytes than this, and more than the others."""


class LaunchRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line: a node's launch specification, including its files; or the names of destroyed nodes.

    ``recovered``: the specification was rebuilt from the process, and parts of it are unknown.
    """

    version: int
    spec: LaunchSpec | None = None
    gone: tuple[str, ...] = ()
    recovered: bool = False


class _Files(msgspec.Struct, frozen=True):
    files: dict[str, str] = msgspec.field(default_factory=dict)


class _FilesRecord(msgspec.Struct, frozen=True):
    """The part of a line that is not kept in memory."""

    spec: _Files


class Launches:
    """The file.

    Args:
        directory: the directory of the file.
        log: writes a line about whatever cannot be used.

    Attributes:
        recovered: nodes whose specification was rebuilt from their process.
        dead: destroyed nodes that may still have a line here; the journal has to keep them marked as gone.
    """

    def __init__(self, directory: Path, log: Callable[[str], None]) -> None:
        self.recovered: set[str] = set()
        self.dead: set[str] = set()
        self._path = directory / LAUNCHES_NAME
        self._aside = directory / UNREADABLE_NAME
        self._log = log
        self._file = LineFile(self._path, log)
        self._encoder = msgspec.json.Encoder()
        self._places: dict[str, tuple[int, int]] = {}

    def load(
        self, gone: Collection[str], problem_with: Callable[[LaunchSpec], str] = lambda _: ""
    ) -> Iterator[LaunchSpec]:
        """All specifications that count, without their files. Lines that cannot be used are set aside.

        Args:
            gone: nodes that the journal marks as destroyed.
            problem_with: returns the reason why a specification cannot become a node; empty if it can.
        """
        decoder = msgspec.json.Decoder(LaunchRecord)
        specs: dict[str, LaunchSpec] = {}
        is_clean = True
        for offset, line in self._file.lines():
            record = self._read(decoder, line, gone, problem_with)
            if record is None:
                is_clean = False
                continue
            for name in record.gone:
                self._places.pop(name, None)
                specs.pop(name, None)
            if record.spec is not None:
                self._places[record.spec.name] = (offset, len(line))
                self._note(record.spec, record.recovered)
                specs[record.spec.name] = msgspec.structs.replace(record.spec, files={})
        self.dead = {name for name in specs if name in gone}
        for name in self.dead:
            del self._places[name]
        if not is_clean:
            self._rewrite()  # without the lines that were set aside, so that they are reported only once
        yield from (spec for name, spec in specs.items() if name not in self.dead)

    def _read(
        self,
        decoder: msgspec.json.Decoder[LaunchRecord],
        line: bytes,
        gone: Collection[str],
        problem_with: Callable[[LaunchSpec], str],
    ) -> LaunchRecord | None:
        """Read a line; None if it cannot be used and was set aside."""
        try:
            record = decoder.decode(line)
        except msgspec.MsgspecError as error:
            self._set_aside(line, str(error))
            return None
        problem = ""
        if record.version not in (LAUNCH_VERSION, VERSION_WITH_USER):
            problem = f"it has version {record.version}, not {VERSION_WITH_USER}"
        elif record.spec is not None and record.spec.name not in gone:
            problem = problem_with(record.spec)
        if problem:
            self._set_aside(line, problem)
        return None if problem else record

    def put_away(self, specs: Sequence[LaunchSpec], recovered: bool = False) -> list[LaunchSpec]:
        """Write specifications to disk before their first start, and return them without their files.

        In a large cluster the files of every node hold the whole layout: that is too much to keep in memory. If they
        cannot be written, that is logged, and they are returned with their files: the nodes are started anyway.
        """
        if not specs:
            return []
        for spec in specs:
            self._note(spec, recovered)
        lines = [self._encoder.encode(LaunchRecord(_version_for(spec), spec, recovered=recovered)) for spec in specs]
        content = b"\n".join([*lines, b""])
        if not self._file.append(content):
            return list(specs)
        offset = self._file.size - len(content)
        for spec, line in zip(specs, lines, strict=True):
            self._places[spec.name] = (offset, len(line))
            self.dead.discard(spec.name)
            offset += len(line) + 1
        return [msgspec.structs.replace(spec, files={}) if spec.files else spec for spec in specs]

    def _note(self, spec: LaunchSpec, recovered: bool) -> None:
        (self.recovered.add if recovered else self.recovered.discard)(spec.name)

    def files_of(self, spec: LaunchSpec) -> dict[str, str]:
        """The files that :meth:`put_away` wrote to disk for a node.

        Raises:
            LaunchError: it cannot be read.
        """
        if spec.files or (place := self._places.get(spec.name)) is None:
            return spec.files
        try:
            return msgspec.json.decode(self._file.read(*place), type=_FilesRecord).spec.files
        except (OSError, msgspec.MsgspecError) as error:
            raise LaunchError(spec.name, f"its files cannot be read from {self._path}: {error}") from error

    def forget(self, node: str) -> None:
        """Note that the line of a node no longer counts."""
        self.recovered.discard(node)
        if self._places.pop(node, None) is not None:
            self.dead.add(node)

    def sweep(self) -> None:
        """Append a line with the nodes that are gone, or write the file anew without them if that saves enough."""
        if not self._file.is_open:
            return
        live = sum(length + 1 for _, length in self._places.values())
        if self._file.size - live > (max(live, _SLACK) if live else 0):
            self._rewrite()
        elif self.dead:
            gone = self._encoder.encode(LaunchRecord(LAUNCH_VERSION, gone=tuple(self.dead)))
            if self._file.append(gone + b"\n"):
                self.dead.clear()

    def close(self) -> None:
        """Remove the file: no node is left."""
        self._places.clear()
        self.dead.clear()
        self._file.remove()

    def _rewrite(self) -> None:
        """Write the file anew, without the lines that no longer count."""
        places: dict[str, tuple[int, int]] = {}
        size = 0
        for name, (_, length) in self._places.items():
            places[name] = (size, length)
            size += length + 1
        lines = (self._file.read(*place) + b"\n" for place in self._places.values())
        if self._file.replace(lines) if places else self._file.clear():
            self._places = places
            self.dead.clear()

    def _set_aside(self, line: bytes, reason: str) -> None:
        self._log(f"a line of {self._path} cannot be used ({reason}); set aside in {self._aside.name}")
        aside = LineFile(self._aside, self._log)
        aside.append(line + b"\n")
        aside.close()


def _version_for(spec: LaunchSpec) -> int:
    return LAUNCH_VERSION if spec.user is None else VERSION_WITH_USER
