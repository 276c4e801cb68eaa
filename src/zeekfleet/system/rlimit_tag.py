"""A number in a resource limit that marks all descendants of a node, daemons included.

A program that becomes a daemon may leave its session, directory and files, and execute
the next program with an empty environment. It keeps its resource limits. One of them,
``RLIMIT_LOCKS``, has limited nothing since Linux 2.4.25: its soft value is free for a
tag of 62 bits, and the hard value stays as it is. A process can change its limits and so
escape on purpose; against that, give the node a control group.

The tag is computed from the tree and the node's name, so the next stem knows it, too.
"""

from __future__ import annotations

import contextlib
import resource
from random import Random

from zeekfleet.system import procfs

_LIMIT = 10
"""``RLIMIT_LOCKS``, on all architectures."""

_NAME = "Max file locks"
"""What the kernel calls it in ``/proc/<pid>/limits``, which everybody may read."""

_LEAST = 1 << 62
"""Nobody sets a limit this high: a lower value, or unlimited, is no tag."""


def of_node(tree: str, name: str) -> int:
    """The tag of a node."""
    # Random seeded with text computes SHA-512. hashlib would do so too, but takes 3.5 MB for OpenSSL.
    seed = f"{tree}:{name}".encode("utf-8", "surrogateescape")
    return _LEAST | Random(seed).getrandbits(62)  # noqa: S311 - keeps no secret


def put_on(pid: int, tag: int) -> None:
    """Tag a process (0: this one), and so whatever it starts from then on.

    A process gets no tag if its hard limit is lower than any tag, or if it belongs to another user by now. It is
    then recognized in other ways (``ownership``).
    """
    with contextlib.suppress(OSError, ValueError, OverflowError):
        resource.prlimit(pid, _LIMIT, (tag, resource.getrlimit(_LIMIT)[1]))


def of_process(pid: int) -> int | None:
    """The tag that a process carries; None if it has none, or has ended."""
    try:
        soft, _ = resource.prlimit(pid, _LIMIT)
    except PermissionError:  # it belongs to another user, and we have no CAP_SYS_RESOURCE, as in many containers
        soft = procfs.soft_limit(pid, _NAME)
    except OSError:
        return None
    return soft if soft >= _LEAST else None
