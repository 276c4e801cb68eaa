"""The resource limit whose value marks a node's descendants."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from zeekfleet.system import rlimit_tag as tags

TAG = tags.of_node("0123456789abcdef", "a")


def test_the_tag_depends_on_tree_and_name() -> None:
    others = {tags.of_node(tree, name) for tree in ("0123456789abcdef", "other") for name in ("a", "b", "\udcff", "")}
    assert len(others) == 8
    assert TAG in others
    assert all(1 << 62 <= tag < 1 << 63 for tag in others)


def told_by(program: str) -> str:
    command = [sys.executable, "-c", f"from zeekfleet.system import rlimit_tag as tags; import os, resource\n{program}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def test_executed_programs_inherit_the_tag() -> None:
    child = f"from zeekfleet.system import rlimit_tag as tags; print(tags.of_process(0) == {TAG})"
    program = f"tags.put_on(0, {TAG}); os.execv({sys.executable!r}, [{sys.executable!r}, '-c', {child!r}])"
    assert told_by(program) == "True"


def test_without_permission_there_is_no_tag() -> None:
    program = (
        "resource.setrlimit(10, (5, 1000)); tags.put_on(0, {}); print(tags.of_process(0), *resource.prlimit(0, 10))"
    )
    assert told_by(program.format(TAG)) == "None 5 1000"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_tag_needs_no_privileges() -> None:
    program = f"""
os.setgid(65534), os.setuid(65534)
child = os.fork()
if child == 0:
    os.execv("/bin/sleep", ["sleep", "60"])
tags.put_on(child, {TAG})
print(tags.of_process(child) == {TAG}, tags.of_process(1) is None)
os.kill(child, 9)
"""
    assert told_by(program) == "True True"


def test_no_other_process_has_a_tag() -> None:
    assert tags.of_process(os.getpid()) is None
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    assert tags.of_process(ended.pid) is None
