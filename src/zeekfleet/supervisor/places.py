"""Checks a node's configuration and launch before the node is created (docs/protocol.md, section 5)."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path

from zeekfleet.model import ranges
from zeekfleet.model.launch import LaunchSpec
from zeekfleet.model.launch_context import NodePaths
from zeekfleet.model.names import NODES, directory_problem
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.model.variables import LAUNCH, NODE_CONFIG, NOTIFY_SOCKET

DIRECTORY_MODE = 0o700
_LONGEST_SHOWN = 200


def problem_with(config: NodeConfig, taken: Container[str]) -> str:
    """Why a node cannot be created, in the words of the protocol; empty if it can."""
    if not config.name:
        return "node names must not be an empty string"
    if " " in config.name:
        return f"node names must not contain spaces: '{config.name}'"
    if config.name in taken:
        return f"node with name '{config.name}' already exists"
    if config.interface is not None and config.pcap_file is not None:
        return f"node with name '{config.name}' has interface and pcap_file set"
    if problem := directory_problem(config.name):
        return f"node name {config.name[:_LONGEST_SHOWN]!r} {problem}"
    if problem := _problem_with_texts(_texts(config)):
        return f"node with name '{config.name}' has {problem} in its configuration"
    if not _is_text("".join(_texts_of_cluster(config))):
        return f"node with name '{config.name}' has text in its cluster that is not valid UTF-8"
    return ""


def problem_with_launch(spec: LaunchSpec) -> str:
    """Why the stem would refuse the launch that an engine made for a node; empty if it would not."""
    texts = (*spec.argv, *spec.env, *spec.env.values(), spec.directory, spec.stdout_file, spec.stderr_file)
    if problem := _problem_with_texts((*texts, *spec.files, *spec.files.values())):
        return f"node '{spec.name}' cannot be started: {problem} in its command line, environment or files"
    for key, problem in ranges.problems(spec.grace, spec.revival, spec.resources, spec.grace_ceiling):
        return f"node '{spec.name}' cannot be started: {key}: {problem}"
    return ""


def _problem_with_texts(texts: Iterable[str]) -> str:
    """Text that no process can be started with and no message to the stem can contain; empty if there is none."""
    joined = "".join(texts)
    if "\0" in joined:
        return "a NUL character"
    return "" if _is_text(joined) else "text that is not valid UTF-8"


def _texts(config: NodeConfig) -> Iterator[str]:
    """All that becomes a path, an argument or a variable of the process, which cannot contain a NUL."""
    alone = (config.name, config.interface, config.pcap_file, config.directory, config.stdout_file, config.stderr_file)
    yield from (text for text in alone if text is not None)
    yield from (*config.addl_base_scripts, *config.addl_user_scripts, *config.env, *config.env.values())


def _texts_of_cluster(config: NodeConfig) -> Iterator[str]:
    """All that is at most written to a file, where a NUL does no harm."""
    for name, endpoint in config.cluster.items():
        yield from (name, endpoint.interface or "", endpoint.pcap_file or "")


def make_directory(config: NodeConfig, paths: NodePaths, state: Path) -> str:
    """Make a node's working directory; an error text, empty on success.

    A symbolic link in its place is refused if it would be in the state directory.
    """
    if paths.directory.parent == state / NODES and paths.directory.is_symlink():
        return f"working directory {paths.directory} is a symbolic link, expected a directory"
    try:
        if not config.directory:
            paths.directory.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        paths.directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return f"failed to create working directory {config.directory or paths.directory}"
    return ""


def base_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment that all nodes inherit: this process's own, without the variables for this process alone."""
    source = os.environ if environment is None else environment
    own = (NODE_CONFIG, LAUNCH, NOTIFY_SOCKET, "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC")
    return {key: value for key, value in source.items() if key not in own and _is_text(key) and _is_text(value)}


def _is_text(value: str) -> bool:
    """Whether it is valid Unicode. JSON cannot carry the surrogates that stand for bytes that are not UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
