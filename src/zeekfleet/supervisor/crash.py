"""Crash reports: a directory for each abnormal end of a node. Old ones are removed by number and age.

``<state>/crashes/<node>/<time>-<pid>/`` holds ``report.json`` for programs, and for people ``summary``, ``stdout``,
``stderr``, ``command``, ``environment``, ``limits`` and, some time later, ``backtrace``. The JSON file has everything
except the two streams and the backtrace. Secrets are redacted.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from pathlib import Path

import msgspec

from zeekfleet.model.launch import LaunchSpec
from zeekfleet.model.names import directory_name
from zeekfleet.stem.protocol import Exited
from zeekfleet.supervisor import backtrace
from zeekfleet.supervisor.records import NodeExit
from zeekfleet.supervisor.redaction import redact_command, redact_environment
from zeekfleet.system.crash_reports import DIRECTORY_NAME, reports_below
from zeekfleet.system.privileges import acting_as
from zeekfleet.system.process_end import Usage

logger = logging.getLogger(__name__)

_DAY = 86400.0
_MODE = 0o700
_REPORT_FILE = "report.json"


class CrashSettings(msgspec.Struct, frozen=True):
    """How many reports are kept.

    Attributes:
        count: reports a node may have; 0: none are written.
        days: days that a report is kept; 0: for ever.
    """

    count: int = 10
    days: float = 30.0


class CrashReport(msgspec.Struct, frozen=True):
    """The content of ``report.json``; times are in seconds, ``at`` is the Unix time of the end."""

    node: str
    pid: int
    at: float
    cause: str
    code: int | None
    signal: int | None
    core_dumped: bool
    out_of_memory: bool
    uptime: float
    restarts: int
    revive_in: float | None
    failed: bool
    command: tuple[str, ...]
    directory: str
    environment: dict[str, str]
    resources: dict[str, str]
    limits: dict[str, str]
    usage: Usage | None
    core: str | None


class _MemoryPart(msgspec.Struct, frozen=True):
    """The part of a report that is read again."""

    at: float
    out_of_memory: bool


class CrashReports:
    """The reports of one state directory. All methods read or write files: call them in a thread.

    Args:
        state: the state directory.
        settings: how many are kept.
    """

    def __init__(self, state: Path, settings: CrashSettings) -> None:
        self._directory = state / DIRECTORY_NAME
        self._settings = settings

    def write(self, spec: LaunchSpec, event: Exited, exit_: NodeExit) -> tuple[Path, Path | None] | None:
        """Write the report of one end.

        Returns:
            The report's directory, and the core file if there is one; None if no report is wanted, or the disk refused
            it.
        """
        if self._settings.count <= 0:
            return None
        started = event.at - event.uptime
        with acting_as(spec.user):
            core = backtrace.find_core(Path(spec.directory), event.pid, started) if event.signal is not None else None
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(event.at))
        home = self._home(event.name)
        try:
            for directory in (self._directory, home):
                directory.mkdir(mode=_MODE, exist_ok=True)
            final = home / f"{stamp}-{event.pid}"
            unfinished = home / f".{final.name}"
            unfinished.mkdir(mode=_MODE, exist_ok=True)
            self._fill(unfinished, _report(spec, event, exit_, core), exit_)
            unfinished.rename(final)
        except OSError as error:
            logger.warning(
                "no crash report of node '%s': %s", event.name, error, extra={"node": event.name, "error": str(error)}
            )
            shutil.rmtree(home / f".{stamp}-{event.pid}", ignore_errors=True)
            return None
        self._prune(home, final)
        return final, core

    def add_backtrace(self, report: Path, spec: LaunchSpec, core: Path) -> None:
        """Add the backtrace of a core to a report; gdb may take half a minute."""
        if text := backtrace.backtrace(spec.argv[0], core, spec.user):
            try:
                _write_private(report / "backtrace", text.encode("utf-8"))
            except OSError as error:
                logger.warning("no backtrace in %s: %s", report, error.strerror, extra={"error": error.strerror})

    def last(self, node: str) -> str:
        """The directory of a node's last report, ``""`` if there is none."""
        reports = reports_below(self._home(node))
        return str(reports[-1]) if reports else ""

    def tells_of_memory(self, node: str, at: float) -> bool:
        """Whether a node's last report is about its end at this Unix time, and says that memory ran out."""
        try:
            content = (Path(self.last(node)) / _REPORT_FILE).read_bytes()
            report = msgspec.json.decode(content, type=_MemoryPart)
        except (OSError, msgspec.MsgspecError):
            return False
        return report.at == at and report.out_of_memory

    def _home(self, node: str) -> Path:
        """The directory of a node's reports: below ours, whatever characters the node's name has."""
        return self._directory / directory_name(node)

    def _fill(self, directory: Path, report: CrashReport, exit_: NodeExit) -> None:
        def write(name: str, text: str) -> None:
            _write_private(directory / name, text.encode("utf-8", errors="surrogateescape"))

        _write_private(directory / _REPORT_FILE, msgspec.json.format(msgspec.json.encode(report)))
        write("stdout", f"{exit_.outputs.stdout}\n")
        write("stderr", f"{exit_.outputs.stderr}\n")
        write("command", "\n".join(report.command) + "\n")
        write("environment", "".join(f"{name}={value}\n" for name, value in report.environment.items()))
        write("limits", "".join(f"{name}: {value}\n" for name, value in report.limits.items()))
        write("summary", _summary(report))

    def _prune(self, home: Path, latest: Path) -> None:
        # The newest report need not have the latest date, since the clock may have been set back: never remove it.
        reports = [path for path in reports_below(home) if path != latest]
        oldest = time.time() - self._settings.days * _DAY if self._settings.days > 0 else 0.0
        for number, path in enumerate(reversed(reports)):
            if number >= self._settings.count - 1 or _is_older(path, oldest):
                shutil.rmtree(path, ignore_errors=True)


def _is_older(path: Path, oldest: float) -> bool:
    """Whether a report is older than this Unix time; False if it is gone."""
    try:
        return path.lstat().st_mtime < oldest
    except OSError:
        return False  # it was removed meanwhile


def _write_private(file: Path, content: bytes) -> None:
    """Write a file that only our user can read: a node's output and command line may hold secrets."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)


def _report(spec: LaunchSpec, event: Exited, exit_: NodeExit, core: Path | None) -> CrashReport:
    return CrashReport(
        node=event.name,
        pid=event.pid,
        at=event.at,
        cause=str(exit_),
        code=event.code,
        signal=event.signal,
        core_dumped=event.core_dumped,
        out_of_memory=exit_.out_of_memory,
        uptime=event.uptime,
        restarts=event.restarts,
        revive_in=event.revive_in,
        failed=event.failed,
        command=redact_command(spec.argv),
        directory=spec.directory,
        environment=redact_environment(spec.env),
        resources=event.effects,
        limits=_limits(event.limits),
        usage=event.usage,
        core=str(core) if core is not None else None,
    )


def _limits(text: str) -> dict[str, str]:
    """Parse ``/proc/<pid>/limits``, whose columns are separated by two blanks or more."""
    found = {}
    for line in text.splitlines()[1:]:
        name, *values = re.split(r"\s{2,}", line.strip())
        found[name] = " ".join(values)
    return found


def _summary(report: CrashReport) -> str:
    at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(report.at))
    lines = [
        f"node '{report.node}' (process {report.pid}) {report.cause}",
        f"at {at}, after {report.uptime:.1f} s, started again {report.restarts} times before",
        _then(report),
    ]
    if report.usage is not None:
        usage = report.usage
        lines.append(
            f"used {usage.user:.2f} s of CPU, {usage.system:.2f} s in the kernel, {usage.max_resident} bytes at most"
        )
    if report.core is not None:
        lines.append(f"core: {report.core}")
    return "\n".join(lines) + "\n"


def _then(report: CrashReport) -> str:
    if report.revive_in is None:
        return "it is not started again"
    when = f"in {report.revive_in:.1f} s" if report.revive_in else "at once"
    return f"started again {when}{', since it keeps failing' if report.failed else ''}"
