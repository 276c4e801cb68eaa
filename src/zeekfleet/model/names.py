"""The names of nodes and instances. They become directories, topics, arguments and sections of files."""

from __future__ import annotations

import re
from random import Random
from urllib.parse import quote

NODES = "nodes"
"""The folder of the state directory with one directory for each node."""

CONFIG_FILE = ".zeekfleet-node.json"
"""A file in a process' directory that holds the configuration it was launched with."""

LOG_QUEUE = "log-queue"
"""The folder of the spool directory in which rotated logs wait to be archived."""

AGENT_SOCKET = "agent.sock"
"""The Unix socket, in the agent's directory, on which simulated nodes connect to their agent."""

SUPERVISOR_SOCKET = "supervisor.sock"
"""The Unix socket, in the state directory, on which the agent of the host connects to its supervisor."""

AUDIT_LOG = "audit.log"
"""The file, in the state directory, in which the controller records who asked for changes."""

DAEMON_LOCK = "daemon.lock"
"""A file that a daemon locks in its directory, so that no second daemon uses the directory."""

PKI = "pki"
"""The folder of the state directory with an authority, or with what an agent got from one."""

CERTIFICATES = "certificates"
"""The folder in ``PKI`` with certificates and keys of this host."""

AUTHORITY = "ca.pem"
"""In ``PKI`` and in ``CERTIFICATES``: the certificate of the authority."""

AUTHORITY_KEY = "ca.key"
"""In ``PKI``, where the authority is: its private key."""

REVOKED = "crl.pem"
"""In ``PKI``: the list of revoked certificates."""

LONGEST_NAME = 64
"""The most characters of a name."""

RULE = (
    f"expected 1 to {LONGEST_NAME} letters (a-z, A-Z), digits, '_', '.' and '-', beginning with a letter, digit or '_'"
)
"""What a valid name looks like, as the end of a sentence."""

RESERVED_SECTIONS = frozenset({"DEFAULT", "instances"})
"""Sections of a cluster configuration file that are not nodes. No node may have such a name."""

MAX_NAME_BYTES = 128
"""The most bytes, in UTF-8, of a name that the Supervisor accepts. It runs any process, so its rules are wider."""

_LONGEST_QUOTED = 180
_NAME = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_.-]{{0,{LONGEST_NAME - 1}}}")


def name_problem(name: str) -> str | None:
    """What is wrong with the name of a node or an instance, as the end of a sentence; None if nothing is."""
    if name.lower() in {section.lower() for section in RESERVED_SECTIONS}:
        return f"is not allowed: [{name}] means something else in a cluster configuration file"
    return None if _NAME.fullmatch(name) else f"is not allowed, {RULE}"


def shortened(name: str) -> str:
    """A name that was made from a host name, cut to the longest allowed length."""
    return name[:LONGEST_NAME]


def directory_problem(name: str) -> str | None:
    """Why the name cannot become a directory; None if it can. The Supervisor API requires nothing else of a name."""
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
    """One plain path component for any name, even for one that :func:`directory_problem` refuses."""
    if name in {".", ".."}:
        return name.replace(".", "%2E")
    return quote(name, safe=":@+,=", errors="surrogatepass") or "%"


def short_file_name(name: str) -> str:
    """A file name of at most 245 bytes for any name; different names get different file names."""
    quoted = quote(name, safe="")
    if len(quoted) > _LONGEST_QUOTED:
        # random.Random computes SHA-512 of its seed. Importing hashlib would cost the stem 3.5 MB, for OpenSSL.
        return quoted[:_LONGEST_QUOTED] + "~" + Random(name.encode()).randbytes(32).hex()  # noqa: S311 - keeps no secret
    return quoted
