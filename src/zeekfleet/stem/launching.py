"""From what a node is to run to the birth of its process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from errno import ENOENT
from shutil import which

import msgspec

from zeekfleet.errors import LaunchError
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.stem import birth, resources
from zeekfleet.stem.birth import Birth
from zeekfleet.stem.forking import ForkedBirth
from zeekfleet.stem.spawn import MARK_VARIABLE, Outputs, failure
from zeekfleet.system.programs import missing_on_path

_MOST_FOUND = 1000
_found: dict[tuple[str, str], str] = {}
"""Where programs were found, by name and PATH."""


def check(spec: LaunchSpec) -> None:
    """Refuse what can never be launched, or not even be recorded.

    Raises:
        LaunchError: it is so.
    """
    if not spec.argv or not spec.argv[0]:
        raise LaunchError(spec.name, "there is no program to run")
    if any("\0" in path for path in (spec.name, spec.directory, spec.stdout_file, spec.stderr_file, *spec.files)):
        raise LaunchError(spec.name, "a path holds a NUL character")


def birth_of_node(
    spec: LaunchSpec, mark: str, brand: int, outputs: Outputs, group: str | None = None, has_memory_limit: bool = False
) -> Birth:
    """How a node's process comes to be.

    Args:
        spec: the node.
        mark: the value of ``ZEEKFLEET_LAUNCH``.
        brand: what its descendants are known by that do not even have that any more.
        outputs: its output files.
        group: the directory of its control group; ``has_memory_limit``: which limits its memory.

    Raises:
        LaunchError: the program is missing, or a text is none that a process can be given.
    """
    env = {**spec.env, MARK_VARIABLE: mark}
    place = spec.directory
    descriptors = {1: outputs.stdout, 2: outputs.stderr}
    limits = msgspec.structs.replace(spec.resources, memory=None) if has_memory_limit else spec.resources
    try:
        program = _program(spec)
        _check_names(env)
        cpus = resources.cpus_of(spec)
        if group is None and birth.IS_AVAILABLE and not resources.are_limited(limits):
            return Birth(program, spec.argv, env, place, descriptors, cpus, brand)
        return ForkedBirth(program, spec.argv, env, place, descriptors, cpus, brand, limits=limits, group=group)
    except OSError as error:
        raise failure(spec.name, error) from error
    except Exception as error:
        # Whatever is wrong with one node, the others need this process.
        raise LaunchError(spec.name, str(error) or type(error).__name__) from error


def problem_of(name: str, problem: Exception) -> LaunchError:
    """What a birth's problem means for a node."""
    if isinstance(problem, OSError):
        return failure(name, problem)
    return LaunchError(name, str(problem))


def _check_names(env: Mapping[str, str]) -> None:
    for name in env:
        if "=" in name:
            raise ValueError(f"illegal environment variable name: {name!r}")


def _program(spec: LaunchSpec) -> str:
    """The program's path, looked for on the node's own PATH."""
    name = spec.argv[0]
    if "/" in name:
        return name
    path = spec.env.get("PATH", os.defpath)
    found = _found.get((name, path))
    if found is None or not os.access(found, os.X_OK):
        found = which(name, path=path)
        if found is None:
            raise FileNotFoundError(ENOENT, missing_on_path(path), name)
        if len(_found) >= _MOST_FOUND:
            _found.clear()
        _found[name, path] = found
    return found
