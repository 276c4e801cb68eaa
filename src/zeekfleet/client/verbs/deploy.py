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
    """The outcome for one node of a deployment. It has outputs if the node failed and wrote something."""

    name: str
    instance: str
    success: bool
    outputs: NodeOutputs | None = None

    def document(self) -> Document:
        """``{"success", "instance"}``, and ``"stdout"`` and ``"stderr"`` if there are outputs."""
        document: Document = {"success": self.success, "instance": self.instance}
        if self.outputs is not None:
            document |= {"stdout": self.outputs.stdout, "stderr": self.outputs.stderr}
        return document


class Deployed(msgspec.Struct, frozen=True):
    """The outcome of a deployment.

    Attributes:
        id: the id of the deployed configuration; None if it was not deployed.
        nodes: one entry for each node, in the order of the answer.
        errors: errors that do not concern a single node.
        ok: whether something was deployed and every result was a success.
        skipped: results that zeek-client's rules do not cover, as text.
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
    """Deploys configurations."""

    async def deploy(self, *, news: News | None = None, now: bool = False, timeout: float | None = None) -> Deployed:
        """Deploy the staged configuration.

        Args:
            news: follows the deployment, and has its request id.
            now: whether nodes that are being stopped are killed when their grace is over, even if they still write.
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
            A sentence: which deployment it was, how far it had come, and what remains changed.

        Raises:
            RequestFailedError: there is none, or it is too late.
        """
        request = AbortDeploymentRequest(fresh_id(), deployment)
        return text_of(expect_data((await self.ask(request)).result, "a sentence"))


def read_deployed(results: Iterable[Result]) -> Deployed:
    """The outcome in a ``deploy_response``.

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
    # If the answer has neither a node nor an id, nothing was deployed.
    ok = ok and (identifier is not None or bool(nodes))
    return Deployed(identifier, tuple(nodes.values()), tuple(errors), ok, tuple(skipped))


def view(outcome: Deployed, actions: Iterable[NodeAction] = ()) -> View:
    """A row for each node, the outputs of the nodes that failed, and the configuration's id.

    Args:
        outcome: what the controller answered.
        actions: what was done about each node, as far as it is known, including nodes that were removed.
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
    """Which deployment was given up, and what remains changed."""
    return [Note(told, BUSY)]


def _action(action: NodeAction | None) -> Cell:
    if action is None:
        return ABSENT
    return Cell(action_text(action), FAINT if action.action == KEEP else "")


def _result(node: NodeDeployment) -> Cell:
    """The outcome for a node. If a node that is up has outputs, it has missing peers, and the outputs name them."""
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
