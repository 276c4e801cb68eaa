"""Makes the results in the agent's responses (docs/protocol.md, section 6). Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from zeekfleet.agent.roster import Roster
from zeekfleet.model.enums import ClusterRole, Role, State
from zeekfleet.model.management import TIMED_OUT, NodeOutputs, NodeStatus, Result
from zeekfleet.model.supervisor import NodeConfig
from zeekfleet.model.supervisor import NodeStatus as SupervisorNodeStatus
from zeekfleet.model.types import NO_PORT, Port
from zeekfleet.model.variables import MANAGEMENT_NODE, PORT_FOR_AGENTS

LEFT = "no longer part of the configuration"

CUT_OFF = "zeekfleet: the node runs, but is not connected to "
"""Begins the text in the standard error of a result whose node is not connected to others; their names follow."""


def deploy_results(reqid: str, instance: str, roster: Roster, names: Collection[str], timed_out: bool) -> list[Result]:
    """One result for each node; after a time-out, a result without node comes first.

    A node that runs but is not connected to others is a success: the protocol has nothing between success and
    failure. Its outputs tell what is missing, since zeek-client shows these.
    """
    results = [Result(reqid, False, instance, error=TIMED_OUT)] if timed_out else []
    for name in sorted(names):
        entry = roster.get(name)
        running = entry is not None and entry.state is State.RUNNING
        problem = entry.life.refusal or entry.life.last_end or None if entry is not None else LEFT
        outputs = _cut_off(roster, name) if running else _outputs(entry.outputs if entry is not None else None, problem)
        results.append(Result(reqid, running, instance, data=outputs, error=None if running else problem, node=name))
    return results or [Result(reqid, instance=instance)]


def _outputs(outputs: NodeOutputs | None, problem: str | None) -> NodeOutputs | None:
    """A node's outputs; if it has written nothing, the problem as standard error, because zeek-client shows that."""
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
    """The data of ``get_nodes``, sorted by name.

    Args:
        processes: the supervisor's processes.
        roster: the state of the nodes.
        agent_port: the agent's port, if the controller dials it.
        pid_means_running: whether a node with a process id counts as RUNNING, as in the first generation.
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
        text = process.node.env.get(PORT_FOR_AGENTS, "")
        port = int(text) if text.isdigit() and int(text) else None
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
    """Each node's answer, with the instance added; an error for each node that has not answered or does not run."""
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
