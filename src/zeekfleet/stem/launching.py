"""Makes the start of a process (a :class:`Spawn`) out of a launch specification."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from zeekfleet.errors import LaunchError
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.model.variables import LAUNCH
from zeekfleet.stem import resources
from zeekfleet.stem.forked_spawn import ForkedSpawn
from zeekfleet.stem.preparation import Outputs, failure
from zeekfleet.stem.spawn import Program, Spawn
from zeekfleet.system import posix_spawn
from zeekfleet.system.programs import find


def check(spec: LaunchSpec) -> None:
    """Refuse a specification that can never be launched or cannot be recorded.

    Raises:
        LaunchError: it is refused.
    """
    if not spec.argv or not spec.argv[0]:
        raise LaunchError(spec.name, "there is no program to run")
    if any("\0" in path for path in (spec.name, spec.directory, spec.stdout_file, spec.stderr_file, *spec.files)):
        raise LaunchError(spec.name, "a path holds a NUL character")


def spawn_of(
    spec: LaunchSpec,
    tag: str,
    rlimit_tag: int,
    outputs: Outputs,
    group: str | None = None,
    has_memory_limit: bool = False,
) -> Spawn:
    """How to start a node's process.

    Args:
        spec: the node.
        tag: the value of ``ZEEKFLEET_LAUNCH``.
        rlimit_tag: the tag by which descendants are recognized that have lost ``ZEEKFLEET_LAUNCH``.
        outputs: its output files.
        group: the directory of its control group, if it has one.
        has_memory_limit: the group limits its memory.

    Raises:
        LaunchError: the program is missing, or a text cannot be passed to a process.
    """
    env = {**spec.env, LAUNCH: tag}
    descriptors = {1: outputs.stdout, 2: outputs.stderr}
    limits = msgspec.structs.replace(spec.resources, memory=None) if has_memory_limit else spec.resources
    try:
        path = find(spec.argv[0], spec.env.get("PATH", os.defpath))
        _check_names(env)
        cpus = resources.cpus_of(spec)
        program = Program(path, spec.argv, env, spec.directory, descriptors, cpus, rlimit_tag, spec.user)
        is_plain = group is None and spec.user is None and not resources.are_limited(limits)
        if is_plain and posix_spawn.IS_AVAILABLE:
            return Spawn(program)
        return ForkedSpawn(program, limits, group)
    except Exception as error:
        # Whatever is wrong with one node must not end the stem: the other nodes need it.
        raise failure(spec.name, error) from error


def _check_names(env: Mapping[str, str]) -> None:
    for name in env:
        if "=" in name:
            raise ValueError(f"illegal environment variable name: {name!r}")
