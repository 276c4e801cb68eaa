"""Names of nodes and instances, which become directories, topics, arguments and sections of files."""

from __future__ import annotations

import re
from urllib.parse import quote

NODES = "nodes"
"""Where in the state directory each node has a directory of its own."""

CONFIG_FILE = ".zeekfleet-node.json"
"""What a process was launched with, in its directory."""

LOG_QUEUE = "log-queue"
"""Where in the spool directory rotated logs wait to be archived."""

AGENT_SOCKET = "agent.sock"
"""Where simulated nodes dial their agent, in the agent's directory."""

DAEMON_LOCK = "daemon.lock"
"""Held in a directory by the daemon that it belongs to."""

LONGEST_NAME = 64
"""Characters of the longest name."""

RULE = (
    f"expected 1 to {LONGEST_NAME} letters (a-z, A-Z), digits, '_', '.' and '-', beginning with a letter, digit or '_'"
)
"""What a name is, as the end of a sentence."""

SECTIONS_OF_FILES = frozenset({"DEFAULT", "instances"})
"""Sections of a cluster configuration file that are no nodes: a node of such a name could not be written to one."""

MAX_NAME_BYTES = 128
"""Bytes in UTF-8 of the longest name that the Supervisor takes, which may be that of any process."""

_NAME = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_.-]{{0,{LONGEST_NAME - 1}}}")


def name_problem(name: str) -> str | None:
    """What is wrong with the name of a node or an instance, as the end of a sentence; None if nothing is."""
    if name.lower() in {section.lower() for section in SECTIONS_OF_FILES}:
        return f"is not allowed: [{name}] means something else in a cluster configuration file"
    return None if _NAME.fullmatch(name) else f"is not allowed, {RULE}"


def shortened(name: str) -> str:
    """A name that is made of a host's, cut so that it is not too long."""
    return name[:LONGEST_NAME]


def directory_problem(name: str) -> str | None:
    """Why the name cannot become a directory, or None if it can: all that the Supervisor API asks of a name."""
    if not name:
        return "is empty"
    if name in {".", ".."}:
        return "means a directory"
    if "/" in name:
        return "contains a slash"
    if any(character.isspace() or not character.isprintable() for character in name):
        return "contains a space or an unprintable character"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    return None


def directory_name(name: str) -> str:
    """One plain component of a path for any name at all, also one that :func:`directory_problem` refuses."""
    if name in {".", ".."}:
        return name.replace(".", "%2E")
    return quote(name, safe=":@+,=", errors="surrogatepass") or "%"
