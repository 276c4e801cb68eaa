"""Where a filter of system calls forbids clone3, as systemd's RestrictNamespaces= does, groups work all the same."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from errno import ENOENT, ENOSYS, EPERM
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from support import seccomp
from zeekfleet.stem.forked_spawn import ForkedSpawn
from zeekfleet.stem.spawn import Program
from zeekfleet.system import cgroup, cgroup_paths

DEADLINE = 30.0


@pytest.fixture
def group() -> Iterator[Path]:
    own = cgroup_paths.unified()
    if own is None:
        pytest.skip("control groups of version 2 are not mounted here")
    made = own.directory / f"zeekfleet-test-{os.getpid()}"
    try:
        made.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield made
    made.rmdir()


def without_clone3(act: Callable[[], object]) -> object:
    """What a function returns in a process of its own whose clone3 is forbidden."""
    context = multiprocessing.get_context("fork")
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_act, args=(act, writer))
    process.start()
    writer.close()
    try:
        assert reader.poll(DEADLINE)
        return reader.recv()
    finally:
        process.join()


def _act(act: Callable[[], object], writer: Connection) -> None:
    seccomp.forbid(seccomp.CLONE3, ENOSYS)
    try:
        writer.send(act())
    except OSError as error:
        writer.send(error.errno)


def spawned_in(group: Path) -> tuple[str, int]:
    """The control group that a program finds itself in, and how it ended."""
    seen, told = os.pipe()
    program = Program(sys.executable, [sys.executable, "-S", "-c", SHOW], {}, "/", {1: told})
    start = ForkedSpawn(program, group=str(group))
    start.run()
    os.close(told)
    if start.problem is not None:
        raise start.problem
    with os.fdopen(seen) as stream:
        shown = stream.read()
    _, status = os.waitpid(start.pid, 0)
    return shown, os.waitstatus_to_exitcode(status)


SHOW = "print(*(line for line in open('/proc/self/cgroup') if line.startswith('0::')), end='')"


def test_a_trial_in_a_group_succeeds(group: Path) -> None:
    assert without_clone3(lambda: cgroup.try_out(group / "trial")) is None
    assert not (group / "trial").exists()


def test_a_program_is_in_its_group_from_the_beginning(group: Path) -> None:
    shown, code = without_clone3(lambda: spawned_in(group))
    assert shown.rstrip().endswith(f"/{group.name}")
    assert code == 0


def test_a_program_that_cannot_enter_its_group_is_not_started(tmp_path: Path) -> None:
    (tmp_path / "cgroup.procs").symlink_to("/dev/full")  # whatever is written to it is refused
    assert without_clone3(lambda: spawned_in(tmp_path)) == EPERM
    assert without_clone3(lambda: cgroup.try_out(tmp_path)) == EPERM


def test_a_group_that_is_gone_is_named_as_the_reason(tmp_path: Path) -> None:
    assert without_clone3(lambda: spawned_in(tmp_path)) == ENOENT
