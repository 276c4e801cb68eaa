"""How long a deployment or restart may take: longer with more nodes to bring up.

Three deadlines nest, each ending before the next, so that whoever waits hears
what came of it rather than nothing:

    agent (5 s and more)  <  controller (10 s and more)  <  zeek-client (20 s, fixed)
    where nodes are stopped: 15 s  <  17 s  <  20 s

Up to :data:`MAX_NODES_FOR_ZEEK_CLIENT` nodes on an instance all three hold with
the default bases; beyond that zeek-client gives up first, while the deployment
goes on and other clients see its end. All times are in seconds.

Where nodes are stopped, the grace of one that ignores SIGTERM may be longer than
the agent's deadline. It runs while the others stop and start, and so replaces
what many nodes add rather than coming on top of it.
"""

from __future__ import annotations

AGENT_BASE = 5.0
"""The agent's request time-out for a single node (protocol section 6)."""

CONTROLLER_BASE = 10.0
"""The controller's request time-out while each instance has one node at most."""

ZEEK_CLIENT_TIMEOUT = 20.0
"""How long zeek-client waits for a response."""

GRACE = 10.0
"""How long agents let a node take to stop, by default."""

PER_NODE = 0.25
"""What each further node on an instance adds: a Zeek's start costs about half a second of one CPU, on two at least."""

MARGIN = 2.0
"""What the controller waits at least beyond the agent, for the answer's way back."""

CEILING = 600.0
"""What many nodes may add at most, so that every wait is finite."""

MAX_NODES_FOR_ZEEK_CLIENT = 36
"""Most nodes on an instance that leave zeek-client a second to hear of it."""


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
