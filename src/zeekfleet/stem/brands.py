"""A number that all descendants of a node inherit, and that none sheds by chance: by it, a daemon is known as its own.

A program that becomes a daemon may leave its session, its directory and its files, and
execute the next with an empty environment. Its resource limits stay. One of them,
``RLIMIT_LOCKS``, has not limited anything since Linux 2.4.25: its soft value is free to
be a node's brand, of 62 bits, and the hard one stays as it is. Everyone may set it, and
change it back: whoever wants to escape, can. Who does so by design is held by a control
group.

A brand follows from the tree and the node's name: the next stem knows it, too.
"""

from __future__ import annotations

import contextlib
import resource
from random import Random

_LIMIT = 10
"""``RLIMIT_LOCKS``, on all architectures."""

_LEAST = 1 << 62
"""Nobody limits anything to that: what is below, or unlimited, is no brand."""


def of_node(tree: str, name: str) -> int:
    """The brand of a node."""
    # Of a seed that is text, Random makes a SHA-512: hashlib would take 3.5 MB more, for OpenSSL.
    seed = f"{tree}:{name}".encode("utf-8", "surrogateescape")
    return _LEAST | Random(seed).getrandbits(62)  # noqa: S311 - keeps no secret


def put_on(pid: int, brand: int) -> None:
    """Brand a process, ourselves if that is 0, and what it will start.

    Where the hard limit is lower than any brand, or the process has become another
    user's, it stays without: it then is known by less.
    """
    with contextlib.suppress(OSError, ValueError, OverflowError):
        resource.prlimit(pid, _LIMIT, (brand, resource.getrlimit(_LIMIT)[1]))


def of_process(pid: int) -> int | None:
    """The brand that a process carries; None if it has none, is no more, or is not ours to know."""
    try:
        soft, _ = resource.prlimit(pid, _LIMIT)
    except OSError:
        return None
    return soft if soft >= _LEAST else None
