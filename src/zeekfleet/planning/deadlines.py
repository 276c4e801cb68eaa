"""How long a deployment or restart may take: so long after its last progress, within a ceiling.

Progress is a node that has come up, or is known to have failed. Whoever waits
for nodes waits for :func:`agent_deadline` (or its like) from the start and from
each progress on, and for :data:`CEILING` at most. Two deadlines nest, so that
the controller hears what came of it rather than nothing:

    agent (5 s and more)  <  controller (10 s and more)
    where nodes are stopped first: 15 s  <  17 s

zeek-client waits for 20 s, whatever happens. It is answered after
:data:`ZEEK_CLIENT_ANSWER` with what is known by then, and the work goes on. All
times are in seconds.

Where nodes are stopped, the grace of one that ignores SIGTERM may be longer than
the agent's deadline. It runs while the others stop and start, and so replaces
what many nodes add rather than coming on top of it.
"""

from __future__ import annotations

AGENT_BASE = 5.0
"""The agent's request time-out for a single node (docs/protocol.md, section 6)."""

CONTROLLER_BASE = 10.0
"""The controller's request time-out while each instance has one node at most."""

ZEEK_CLIENT_TIMEOUT = 20.0
"""How long zeek-client waits for a response."""

ZEEK_CLIENT_ANSWER = 18.0
"""When the controller answers it at the latest."""

GRACE = 10.0
"""How long agents let a node take to stop, by default."""

PER_NODE = 1.0
"""What each further node on an instance adds: a Zeek's start costs half a second of a CPU that others want, too."""

MARGIN = 2.0
"""What the controller waits at least beyond the agent, for the answer's way back."""

CEILING = 600.0
"""What many nodes may add at most, and what all progress together may, so that every wait is finite."""


class Deadline:
    """The instant until which something is waited for: some time after the last progress, within a ceiling.

    Args:
        now: by the clock that all instants here are of, in seconds.
        patience: how long to wait without any progress.
        ceiling: how long to wait at most, whatever progress there is; ``patience`` if that is longer.

    Attributes:
        at: the instant.
    """

    def __init__(self, now: float, patience: float, ceiling: float = CEILING) -> None:
        self._patience = patience
        self._last = now + max(patience, ceiling)
        self.at = now + patience

    def progressed(self, now: float, patience: float | None = None) -> float:
        """There is progress: count anew, from now on with another patience if one is given; the new instant."""
        if patience is not None:
            self._patience = patience
        self.at = min(now + self._patience, self._last)
        return self.at


def agent_deadline(nodes: int, *, base: float = AGENT_BASE) -> float:
    """How long an agent waits for the nodes of its instance.

    Args:
        nodes: how many of its nodes are started, restarted or stopped.
        base: its configured request time-out.
    """
    return base + _growth(nodes)


def agent_stop_deadline(nodes: int, *, base: float = AGENT_BASE, grace: float = GRACE) -> float:
    """How long an agent waits where some of the nodes have to be stopped first.

    Args:
        nodes: how many of its nodes are started or restarted.
        base: its configured request time-out.
        grace: how long a node may take to stop.
    """
    return max(agent_deadline(nodes, base=base), base + min(grace, CEILING))


def controller_deadline(
    largest_instance: int, *, base: float = CONTROLLER_BASE, agent_base: float = AGENT_BASE
) -> float:
    """How long the controller waits for its agents; always longer than any of them waits.

    Args:
        largest_instance: how many nodes the instance with the most of them has.
        base: its configured request time-out.
        agent_base: the agents' configured request time-out.
    """
    return max(base + _growth(largest_instance), agent_deadline(largest_instance, base=agent_base) + MARGIN)


def controller_stop_deadline(
    largest_instance: int, *, base: float = CONTROLLER_BASE, agent_base: float = AGENT_BASE, grace: float = GRACE
) -> float:
    """The same where agents may have to stop nodes first.

    Args:
        largest_instance: how many nodes the instance with the most of them has.
        base: its configured request time-out.
        agent_base: the agents' configured request time-out.
        grace: the agents' configured grace.
    """
    return max(
        controller_deadline(largest_instance, base=base, agent_base=agent_base),
        agent_stop_deadline(largest_instance, base=agent_base, grace=grace) + MARGIN,
    )


def _growth(nodes: int) -> float:
    return min(PER_NODE * max(0, nodes - 1), CEILING)
