"""Deploy the staged configuration, or give a deployment up."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from zeekfleet.broker.events.controller import DeployRequest
from zeekfleet.broker.events.deployments import AbortDeploymentRequest
from zeekfleet.broker.generations import SECOND
from zeekfleet.client.news import News
from zeekfleet.client.results import Document, expect_data, has_data, text_of
from zeekfleet.client.verbs.hurry import HurryVerb
from zeekfleet.client.verbs.stage_config import identified
from zeekfleet.client.views import ABSENT, BAD, BUSY, FAINT, GOOD, Cell, Note, Table, View, problem
from zeekfleet.model.deployments import KEEP, STOP, NodeAction, action_text
from zeekfleet.model.management import NodeOutputs, Result, fresh_id

RUNNING, FAILED, GONE = Cell("running", GOOD), Cell("failed", BAD), Cell("gone", FAINT)
CUT_OFF = Cell("running, cut off", BUSY)


class NodeDeployment(msgspec.Struct, frozen=True):
    """What became of one node in a deployment; the outputs are there if it failed and wrote something."""

    name: str
    instance: str
    success: bool
    outputs: NodeOutputs | None = None

    def document(self) -> Document:
        """``{"success", "instance"}``, and ``"stdout"`` and ``"stderr"`` where there are outputs."""
        document: Document = {"success": self.success, "instance": self.instance}
        if self.outputs is not None:
            document |= {"stdout": self.outputs.stdout, "stderr": self.outputs.stderr}
        return document


class Deployed(msgspec.Struct, frozen=True):
    """The outcome of a deployment.

    Attributes:
        id: the deployed configuration's id, if it came that far.
        nodes: one entry a node, in the order of the answer.
        errors: what concerns no single node.
        ok: whether there is something deployed and every result was a success.
        skipped: results that none of zeek-client's rules is for, as text.
    """

    id: str | None
    nodes: tuple[NodeDeployment, ...]
    errors: tuple[str, ...]
    ok: bool
    skipped: tuple[str, ...] = ()

    def document(self) -> Document:
        """``{"errors": [TEXT], "results": {"id", "nodes": {NAME: {"success", "instance", ...}}}}``."""
        results = identified(self.id)
        if self.nodes:
            results["nodes"] = {node.name: node.document() for node in self.nodes}
        return {"results": results, "errors": list(self.errors)}


class DeployVerb(HurryVerb):
    """Deploys."""

    async def deploy(self, *, news: News | None = None, now: bool = False, timeout: float | None = None) -> Deployed:
        """Deploy the staged configuration.

        Args:
            news: follows the deployment, and has its request id.
            now: nodes that are stopped and still write get no more than their grace.
            timeout: how long to wait without any sign of progress.
        """
        news = news or News(fresh_id())
        with self._hurrying(now):
            request = DeployRequest(news.reqid)
            response = await self.ask(request, timeout=timeout, watch=news.heard)
        return read_deployed(response.results)

    async def abort_deployment(self, deployment: str = "") -> str:
        """Give up the deployment of this request id, or the current one if ``""``, whoever asked for it.

        Returns:
            a sentence: which deployment it was, how far it had come, and what that leaves behind.

        Raises:
            RequestFailedError: there is none, or it is too late.
        """
        request = AbortDeploymentRequest(fresh_id(), deployment)
        return text_of(expect_data((await self.ask(request)).result, "a sentence"))


def read_deployed(results: Iterable[Result]) -> Deployed:
    """The outcome that ``deploy_response`` tells.

    Raises:
        ValueMismatchError: the data of a node's result are not outputs.
    """
    identifier: str | None = None
    nodes: dict[str, NodeDeployment] = {}
    errors: list[str] = []
    skipped: list[str] = []
    ok = True
    for result in results:
        ok = ok and result.success
        if not result.success and result.node is None and result.error:
            errors.append(result.error)
        elif result.success and result.node is None and result.instance is None and has_data(result.data):
            identifier = text_of(result.data)
        elif result.instance is None:
            skipped.append(str(result))
        elif result.node is not None:
            outputs = SECOND.codec.from_value(result.data, NodeOutputs) if has_data(result.data) else None
            nodes[result.node] = NodeDeployment(result.node, result.instance, result.success, outputs)
        # An instance without nodes answers with a plain success, which needs no entry.
    # An answer without any node or id does not tell that something is deployed.
    ok = ok and (identifier is not None or bool(nodes))
    return Deployed(identifier, tuple(nodes.values()), tuple(errors), ok, tuple(skipped))


def view(outcome: Deployed, actions: Iterable[NodeAction] = ()) -> View:
    """A row a node, the outputs of the nodes that failed, and the configuration's id.

    Args:
        outcome: what the controller answered.
        actions: what was done about each node, also about those that are gone, as far as it is known.
    """
    done = {(action.instance, action.node): action for action in actions}
    view: list[Table | Note] = []
    nodes = sorted(outcome.nodes, key=lambda node: (node.instance, node.name))
    results = {(node.instance, node.name): _result(node) for node in nodes}
    gone = {place: GONE for place, action in done.items() if action.action == STOP}
    if rows := [
        (Cell(instance), Cell(node), result, *((_action(done.get((instance, node))),) if done else ()))
        for (instance, node), result in sorted({**gone, **results}.items())
    ]:
        view.append(Table(("INSTANCE", "NODE", "RESULT", *(("CHANGE",) if done else ())), tuple(rows)))
    for node in nodes:
        view += _outputs(node)
    view += [problem(error) for error in outcome.errors]
    if outcome.id:
        failed = sum(not node.success for node in nodes)
        count = "1 node" if len(nodes) == 1 else f"{len(nodes)} nodes"
        told = f", {failed} of {count} failed" if failed else f", {count}" if nodes else ""
        view.append(Note(f"deployed configuration {outcome.id}{told}", BAD if failed else GOOD))
    return view


def given_up(told: str) -> View:
    """Which deployment was given up, and what that leaves behind."""
    return [Note(told, BUSY)]


def _action(action: NodeAction | None) -> Cell:
    if action is None:
        return ABSENT
    return Cell(action_text(action), FAINT if action.action == KEEP else "")


def _result(node: NodeDeployment) -> Cell:
    """A node that came up has outputs only if it is not connected to all nodes that it must be; they name these."""
    if not node.success:
        return FAILED
    return RUNNING if node.outputs is None else CUT_OFF


def _outputs(node: NodeDeployment) -> Iterable[Note]:
    if node.outputs is None:
        return
    for stream, text in (("stdout", node.outputs.stdout), ("stderr", node.outputs.stderr)):
        if text.strip():
            lines = "\n".join(f"    {line}" for line in text.rstrip().splitlines())
            yield Note(f"{node.name}, {stream}:\n{lines}")
