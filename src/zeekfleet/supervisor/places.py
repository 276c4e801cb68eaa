"""Checks a node's configuration and launch before the node is created (docs/protocol.md, section 5)."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path

from zeekfleet.model import ranges
from zeekfleet.model.launch import Account, LaunchSpec
from zeekfleet.model.launch_context import NodePaths
from zeekfleet.model.names import DAEMON_LOCK, NODES, directory_problem
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.model.variables import LAUNCH, NODE_CONFIG, NOTIFY_SOCKET
from zeekfleet.system.privileges import ROOT, acting_as, hand_over, owner_of

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


def make_directory(config: NodeConfig, paths: NodePaths, state: Path, user: Account | None = None) -> str:
    """Make a node's working directory; an error text, empty on success.

    In the state directory, a symbolic link in its place is refused. Elsewhere, it is made with the rights of its user.
    """
    is_below = paths.directory.parent == state / NODES
    if is_below and paths.directory.is_symlink():
        return f"working directory {paths.directory} is a symbolic link, expected a directory"
    try:
        with acting_as(None if is_below else user):
            if not config.directory:
                paths.directory.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
            paths.directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return f"failed to create working directory {config.directory or paths.directory}"
    return ""


def problem_with_owner(spec: LaunchSpec, state: Path) -> str:
    """Why a node cannot run as its user in its directory; empty if it can, perhaps after :func:`give_directory`.

    What a user has left in a directory, such as a script that Zeek loads, would run with the rights of the next one.
    """
    directory = Path(spec.directory)
    owner, wanted = owner_of(directory), os.geteuid() if spec.user is None else spec.user.uid
    if owner is None or owner.uid == wanted or _is_given(spec, state):
        return ""
    if spec.user is None and (wanted != ROOT or directory.parent != state / NODES):
        return ""  # as an operator has it
    return (
        f"directory {directory} belongs to user {owner.uid}, and the node is to run as user {wanted}:"
        f" move it away, or, if you trust what is in it, run 'chown -R {wanted} {shlex.quote(str(directory))}'"
    )


async def give_directory(spec: LaunchSpec, state: Path) -> str:
    """Give a node's directory to the user that it runs as, if it is root's; an error text, empty on success."""
    if spec.user is None or not _is_given(spec, state):
        return ""
    try:
        await asyncio.to_thread(hand_over, Path(spec.directory), spec.user)
    except OSError as error:
        return f"directory {spec.directory} cannot be given to user {spec.user.uid}: {error.strerror}"
    return ""


def _is_given(spec: LaunchSpec, state: Path) -> bool:
    """Whether the directory is one of root's for nodes, and none of an agent or controller, and so is given away."""
    directory = Path(spec.directory)
    owner, is_for_nodes = owner_of(directory), directory.parent == state / NODES
    is_roots = owner is not None and owner.uid == ROOT and os.geteuid() == ROOT
    return spec.user is not None and is_for_nodes and is_roots and not (directory / DAEMON_LOCK).exists()


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
