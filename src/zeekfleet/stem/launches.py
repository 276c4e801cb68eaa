"""What nodes are launched with, on disk: one file for all, since making a file is what costs most of a start.

``launches`` has a line a launch, appended by a single write for all nodes that are
created together; the last line of a name counts. That a node is gone is at first said by the
journal (``records``), a moment later by a line here. Lines that no longer count are
removed when none counts any more, or when they are the greater part.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from zeekfleet.errors import LaunchError
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.stem.preparation import FILE_MODE

LAUNCHES_NAME = "launches"
UNREADABLE_NAME = "launches.unreadable"
LAUNCH_VERSION = 3
_SLACK = 1024 * 1024
"""Bytes that need not count before the file is written anew."""


class LaunchRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line: what a node is launched with, its files included; or nodes that are gone."""

    version: int
    spec: LaunchSpec | None = None
    gone: tuple[str, ...] = ()
    recovered: bool = False
    """The launch was made up from the process: not all of it is known."""


class _Files(msgspec.Struct, frozen=True):
    files: dict[str, str] = msgspec.field(default_factory=dict)


class _FilesRecord(msgspec.Struct, frozen=True):
    """Of a line, what is not kept in memory."""

    spec: _Files


def _problem_with_version(version: int) -> str:
    return "" if version == LAUNCH_VERSION else f"it has version {version}, not {LAUNCH_VERSION}"


class Launches:
    """The file.

    Args:
        directory: where it is.
        log: takes one line about each thing that cannot be used.
    """

    def __init__(self, directory: Path, log: Callable[[str], None]) -> None:
        self._path = directory / LAUNCHES_NAME
        self._aside = directory / UNREADABLE_NAME
        self._log = log
        self._encoder = msgspec.json.Encoder()
        self._descriptor = -1
        self._size = 0
        self._places: dict[str, tuple[int, int]] = {}
        self._dead: set[str] = set()
        self.recovered: set[str] = set()
        """Nodes whose launch was made up from their process."""

    @property
    def dead(self) -> Collection[str]:
        """Nodes that are gone and may still have a line: the journal has to say so."""
        return self._dead

    def load(
        self, gone: Collection[str], problem_with: Callable[[LaunchSpec], str] = lambda _: ""
    ) -> Iterator[LaunchSpec]:
        """All that count and can be read, without their files; the rest is set aside.

        Args:
            gone: nodes that the journal tells to be no more.
            problem_with: why one cannot become a node; empty if it can.
        """
        decoder = msgspec.json.Decoder(LaunchRecord)
        specs: dict[str, LaunchSpec] = {}
        is_clean = True
        for offset, line in self._lines():
            try:
                record = decoder.decode(line)
                problem = _problem_with_version(record.version)
                if not problem and record.spec is not None and record.spec.name not in gone:
                    problem = problem_with(record.spec)
            except msgspec.MsgspecError as error:
                problem = str(error)
            if problem:
                self._set_aside(line, problem)
                is_clean = False
                continue
            for name in record.gone:
                self._places.pop(name, None)
                specs.pop(name, None)
            if record.spec is not None:
                self._places[record.spec.name] = (offset, len(line))
                self._note(record.spec, record.recovered)
                specs[record.spec.name] = msgspec.structs.replace(record.spec, files={})
        self._dead = {name for name in specs if name in gone}
        for name in self._dead:
            del self._places[name]
        if not is_clean:
            self._rewrite()  # what has been set aside is told once
        yield from (spec for name, spec in specs.items() if name not in self._dead)

    def put_away(self, specs: Sequence[LaunchSpec], recovered: bool = False) -> list[LaunchSpec]:
        """Keep them on disk, before their first start; they come back without their files, or whole if that fails.

        In a large cluster every node's files hold the whole layout: not to be kept in memory.
        A failure is logged, since the nodes matter more.
        """
        if not specs:
            return []
        for spec in specs:
            self._note(spec, recovered)
        lines = [self._encoder.encode(LaunchRecord(LAUNCH_VERSION, spec, recovered=recovered)) for spec in specs]
        offset = self._size
        if not self._append(b"\n".join([*lines, b""])):
            return list(specs)
        for spec, line in zip(specs, lines, strict=True):
            self._places[spec.name] = (offset, len(line))
            self._dead.discard(spec.name)
            offset += len(line) + 1
        return [msgspec.structs.replace(spec, files={}) if spec.files else spec for spec in specs]

    def _note(self, spec: LaunchSpec, recovered: bool) -> None:
        (self.recovered.add if recovered else self.recovered.discard)(spec.name)

    def files_of(self, spec: LaunchSpec) -> dict[str, str]:
        """What was put away for a node.

        Raises:
            LaunchError: it cannot be read.
        """
        if spec.files or (place := self._places.get(spec.name)) is None:
            return spec.files
        offset, length = place
        try:
            return msgspec.json.decode(os.pread(self._descriptor, length, offset), type=_FilesRecord).spec.files
        except (OSError, msgspec.MsgspecError) as error:
            raise LaunchError(spec.name, f"its files cannot be read from {self._path}: {error}") from error

    def forget(self, node: str) -> None:
        """Its line does not count any more."""
        self.recovered.discard(node)
        if self._places.pop(node, None) is not None:
            self._dead.add(node)

    def sweep(self) -> None:
        """Say what does not count any more, or remove it where that is worth it."""
        if self._descriptor < 0:
            return
        live = sum(length + 1 for _, length in self._places.values())
        if self._size - live > (max(live, _SLACK) if live else 0):
            self._rewrite()
        elif self._dead and self._append(
            self._encoder.encode(LaunchRecord(LAUNCH_VERSION, gone=tuple(self._dead))) + b"\n"
        ):
            self._dead.clear()

    def close(self) -> None:
        """No node is left: nor shall the file be."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._places.clear()
        self._dead.clear()
        self._path.unlink(missing_ok=True)

    # --- the file

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Where each line begins, and the line."""
        if not self._open():
            return
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            for line in file:
                if text := line.rstrip(b"\n"):
                    yield self._size, text
                self._size += len(line)
                if not line.endswith(b"\n"):
                    self._end_line(self._size - len(line))

    def _end_line(self, start: int) -> None:
        """See to it that what comes next is not of the same line as the torn one that starts there."""
        try:
            self._size += os.write(self._descriptor, b"\n")
        except OSError:  # a full disk takes nothing, but gives
            os.ftruncate(self._descriptor, start)
            self._size = start

    def _open(self) -> bool:
        if self._descriptor < 0:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            try:
                self._descriptor = os.open(self._path, flags, FILE_MODE)
            except OSError as error:
                self._log(f"cannot write {self._path}: {error.strerror}")
        return self._descriptor >= 0

    def _append(self, content: bytes) -> bool:
        """Append, all of it or nothing; whether it was."""
        if not self._open():
            return False
        try:
            if os.write(self._descriptor, content) == len(content):
                self._size += len(content)
                return True
            reason = "the disk is full"
            os.ftruncate(self._descriptor, self._size)
        except OSError as error:
            reason = error.strerror or str(error)
        self._log(f"cannot write {self._path}: {reason}")
        return False

    def _rewrite(self) -> None:
        try:
            if not self._places:
                os.ftruncate(self._descriptor, 0)
                self._size = 0
            elif not self._copy(self._places.items()):
                return
        except OSError as error:
            self._log(f"cannot write {self._path}: {error.strerror}")
            return
        self._dead.clear()

    def _copy(self, kept: Iterable[tuple[str, tuple[int, int]]]) -> bool:
        """Put a file with the lines that count in the place of this one; whether it could be written."""
        temporary = f"{self._path}.new"
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        new = os.open(temporary, flags, FILE_MODE)
        places: dict[str, tuple[int, int]] = {}
        size = 0
        try:
            for name, (offset, length) in kept:
                os.write(new, os.pread(self._descriptor, length, offset) + b"\n")
                places[name] = (size, length)
                size += length + 1
            if os.fstat(new).st_size != size:
                os.close(new)
                self._log(f"cannot write {temporary}: the disk is full")
                return False
            os.rename(temporary, self._path)
        except OSError:
            os.close(new)
            os.unlink(temporary)
            raise
        os.close(self._descriptor)
        self._descriptor, self._places, self._size = new, places, size
        return True

    def _set_aside(self, line: bytes, reason: str) -> None:
        self._log(f"a line of {self._path} cannot be used ({reason}); set aside in {self._aside.name}")
        try:
            descriptor = os.open(self._aside, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
            try:
                os.write(descriptor, line + b"\n")
            finally:
                os.close(descriptor)
        except OSError as error:
            self._log(f"cannot write {self._aside}: {error.strerror}")
