"""How long a deployment or restart may take. All times are in seconds.

Progress means that a node came up, or is known to have failed. An agent waits for
:func:`agent_deadline` from the start and again from each progress, but no longer
than :data:`CEILING` in all. The controller waits longer than its agents, so that
it receives their results before its own time is over:

    agent (5 s and more)  <  controller (10 s and more)
    if nodes are stopped first: 15 s  <  17 s

zeek-client always waits for 20 s. Therefore it is answered after
:data:`ZEEK_CLIENT_ANSWER` with what is known by then, and the work goes on.

A node that ignores SIGTERM may take longer to stop than the agent's deadline. The
other nodes stop and start during its grace, so the deadline is the longer of the
two times, and not their sum.
"""

from __future__ import annotations

AGENT_BASE = 5.0
"""The agent's request time-out for a single node (docs/protocol.md, section 6)."""

CONTROLLER_BASE = 10.0
"""The controller's request time-out if no instance has more than one node."""

ZEEK_CLIENT_ANSWER = 18.0
"""The controller answers zeek-client after this time at the latest, two seconds before zeek-client gives up."""

GRACE = 10.0
"""The default time that agents give a node to stop."""

PER_NODE = 1.0
"""The additional time for each further node on an instance: starting a Zeek takes half a second of CPU."""

MARGIN = 2.0
"""How much longer than its agents the controller waits at least, so that their responses can arrive."""

CEILING = 600.0
"""The most that further nodes add, and the most that progress adds, so that every wait ends."""


class Deadline:
    """The instant at which to stop waiting: ``patience`` after the last progress, but no later than ``ceiling``.

    Args:
        now: the present instant, in seconds; all instants must be of the same clock.
        patience: how long to wait without progress.
        ceiling: how long to wait in all, or ``patience`` if that is longer.

    Attributes:
        at: the instant.
    """

    def __init__(self, now: float, patience: float, ceiling: float = CEILING) -> None:
        self._patience = patience
        self._last = now + max(patience, ceiling)
        self.at = now + patience

    def progressed(self, now: float, patience: float | None = None) -> float:
        """Start waiting anew after progress, with another patience if one is given; returns the new instant."""
        if patience is not None:
            self._patience = patience
        self.at = min(now + self._patience, self._last)
        return self.at


def agent_deadline(nodes: int, *, base: float = AGENT_BASE) -> float:
    """How long an agent waits for the nodes of its instance.

    Args:
        nodes: how many of its nodes are started, restarted or stopped.
        base: the agent's configured request time-out.
    """
    return base + _growth(nodes)


def agent_stop_deadline(nodes: int, *, base: float = AGENT_BASE, grace: float = GRACE) -> float:
    """How long an agent waits if some of the nodes have to be stopped first.

    Args:
        nodes: how many of its nodes are started or restarted.
        base: the agent's configured request time-out.
        grace: how long a node may take to stop.
    """
    return max(agent_deadline(nodes, base=base), base + min(grace, CEILING))


def controller_deadline(
    largest_instance: int, *, base: float = CONTROLLER_BASE, agent_base: float = AGENT_BASE
) -> float:
    """How long the controller waits for its agents: longer than any of them waits.

    Args:
        largest_instance: the number of nodes of the largest instance.
        base: the controller's configured request time-out.
        agent_base: the agents' configured request time-out.
    """
    return max(base + _growth(largest_instance), agent_deadline(largest_instance, base=agent_base) + MARGIN)


def controller_stop_deadline(
    largest_instance: int, *, base: float = CONTROLLER_BASE, agent_base: float = AGENT_BASE, grace: float = GRACE
) -> float:
    """The same, if agents may have to stop nodes first.

    Args:
        largest_instance: the number of nodes of the largest instance.
        base: the controller's configured request time-out.
        agent_base: the agents' configured request time-out.
        grace: the agents' configured grace.
    """
    return max(
        controller_deadline(largest_instance, base=base, agent_base=agent_base),
        agent_stop_deadline(largest_instance, base=agent_base, grace=grace) + MARGIN,
    )


def _growth(nodes: int) -> float:
    return min(PER_NODE * max(0, nodes - 1), CEILING)
