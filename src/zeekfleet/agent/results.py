"""The agent's answers, from what it knows: pure (docs/protocol.md, section 6)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from zeekfleet.agent.control import TIMED_OUT
from zeekfleet.agent.roster import Roster
from zeekfleet.model.enums import ClusterRole, Role, State
from zeekfleet.model.management import NodeOutputs, NodeStatus, Result
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.model.supervisor import NodeStatus as SupervisorNodeStatus
from zeekfleet.model.types import NO_PORT, Port
from zeekfleet.model.variables import CONTROLLER_PORT, MANAGEMENT_NODE

LEFT = "no longer part of the configuration"

CUT_OFF = "zeekfleet: the node runs, but is not connected to "
"""What a result's standard error says of a node that is no part of the cluster yet; names of nodes follow."""


def deploy_results(reqid: str, instance: str, roster: Roster, names: Collection[str], timed_out: bool) -> list[Result]:
    """One result a node; on a time-out one without node comes first.

    A node that runs but is cut off from others is no failure, since it does what it can, and the protocol knows nothing
    in between: its outputs say so, which zeek-client shows.
    """
    results = [Result(reqid, False, instance, error=TIMED_OUT)] if timed_out else []
    for name in sorted(names):
        entry = roster.get(name)
        running = entry is not None and entry.state is State.RUNNING
        problem = entry.life.refusal or entry.life.last_end or None if entry is not None else LEFT
        outputs = _cut_off(roster, name) if running else _told(entry.outputs if entry is not None else None, problem)
        results.append(Result(reqid, running, instance, data=outputs, error=None if running else problem, node=name))
    return results or [Result(reqid, instance=instance)]


def _told(outputs: NodeOutputs | None, problem: str | None) -> NodeOutputs | None:
    """A node's outputs, or what is known instead if it has written nothing: zeek-client shows no more than these."""
    if problem is None or (outputs is not None and (outputs.stdout.strip() or outputs.stderr.strip())):
        return outputs
    return NodeOutputs("", problem)


def _cut_off(roster: Roster, name: str) -> NodeOutputs | None:
    missing = roster.cut_off(name)
    if not missing:
        return None
    return NodeOutputs("", f"{CUT_OFF}{', '.join(sorted(missing))}\n")


def node_statuses(
    processes: Mapping[str, SupervisorNodeStatus], roster: Roster, agent_port: int | None, pid_means_running: bool
) -> tuple[NodeStatus, ...]:
    """What ``get_nodes`` tells, sorted by name.

    Args:
        processes: what the supervisor runs.
        roster: the nodes' states.
        agent_port: the agent's own port, if a controller connects to it.
        pid_means_running: the first generation's idea of RUNNING.
    """
    statuses = []
    for _, process in sorted(processes.items()):
        mark = process.node.env.get(MANAGEMENT_NODE)
        if mark in (Role.AGENT.name, Role.CONTROLLER.name):
            statuses.append(_management_status(process, Role[mark], agent_port))
        else:
            statuses.append(_cluster_status(process, roster, pid_means_running))
    return tuple(statuses)


def _management_status(process: SupervisorNodeStatus, role: Role, agent_port: int | None) -> NodeStatus:
    port: int | None = agent_port
    if role is Role.CONTROLLER:
        told = process.node.env.get(CONTROLLER_PORT, "")
        port = int(told) if told.isdigit() and int(told) else None
    return NodeStatus(process.node.name, State.RUNNING, mgmt_role=role, pid=process.pid, p=Port(port) if port else None)


def _cluster_status(process: SupervisorNodeStatus, roster: Roster, pid_means_running: bool) -> NodeStatus:
    config: NodeConfig = process.node
    endpoint = config.cluster.get(config.name)
    entry = roster.get(config.name)
    state = entry.state if entry is not None else State.PENDING
    if pid_means_running and state is State.PENDING and process.pid is not None:
        state = State.RUNNING
    return NodeStatus(
        config.name,
        state,
        cluster_role=endpoint.role if endpoint else ClusterRole.NONE,
        pid=process.pid,
        p=endpoint.p if endpoint and endpoint.p != NO_PORT else None,
        metrics_port=endpoint.metrics_port if endpoint else None,
    )


def dispatch_results(
    reqid: str, instance: str, answers: Mapping[str, Result | None], not_running: Iterable[str]
) -> list[Result]:
    """Each node's answer with the instance added, and an error for each that gave none."""
    results = [
        Result(reqid, False, instance, error=f"cluster node {name} not in running state", node=name)
        for name in sorted(not_running)
    ]
    for name, answer in sorted(answers.items()):
        if answer is None:
            results.append(Result(reqid, False, instance, error=TIMED_OUT, node=name))
        else:
            results.append(Result(reqid, answer.success, instance, answer.data, answer.error, name))
    return results
