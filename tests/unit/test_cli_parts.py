"""The command line's pure parts."""

from __future__ import annotations

import importlib.util
import io

import pytest
from rich.console import Console

from zeekfleet.broker.events.agent import NotifyChange
from zeekfleet.broker.events.deployments import DeploymentProgress
from zeekfleet.cli.layout import plain_text
from zeekfleet.cli.messages import Messages
from zeekfleet.cli.progress import LARGEST_TABLE, LiveProgress, NodeStates
from zeekfleet.cli.purposes import VERBS
from zeekfleet.cli.verbs import find_verb
from zeekfleet.client.news import News
from zeekfleet.client.node_cells import TONES
from zeekfleet.client.verbs import check, deploy, get_id_value, stage_config
from zeekfleet.client.verbs.check import Checked
from zeekfleet.client.verbs.deploy import Deployed, NodeDeployment
from zeekfleet.client.verbs.get_id_value import IdValues
from zeekfleet.client.verbs.stage_config import Staged
from zeekfleet.client.views import BUSY, GOOD, Cell, Note, Table
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Configuration, Node, NodeOutputs
from zeekfleet.model.texts import printable


@pytest.mark.parametrize(
    ("line", "verb"),
    [
        ("get-nodes", "get-nodes"),
        ("-v -q get-nodes", "get-nodes"),
        ("--controller h:1 get-nodes", "get-nodes"),
        ("--controller=h:1 get-nodes", "get-nodes"),
        ("--contr h:1 get-nodes", "get-nodes"),
        ("-c deploy get-nodes", "get-nodes"),
        ("-vvc deploy get-nodes", "get-nodes"),
        ("-cdeploy get-nodes", "get-nodes"),
        ("--set deploy --set=restart get-nodes", "get-nodes"),
        ("--json deploy get-nodes", "deploy"),
        ("--version", None),
        ("", None),
        ("--set", None),
        ("nonsense", "nonsense"),
    ],
)
def test_find_verb(line: str, verb: str | None):
    assert find_verb(line.split()) == verb


@pytest.mark.parametrize("verb", sorted(VERBS.keys() - {"up", "controller", "agent", "supervise", "stop"}))
def test_every_client_verb_has_a_module(verb: str):
    assert importlib.util.find_spec(f"zeekfleet.cli.{verb.replace('-', '_')}")


def test_plain_tables_are_aligned():
    table = Table(("A", "LONG"), ((Cell("long cell"), Cell("x")), (Cell("s"), Cell("y\nz"))))
    assert plain_text([table, Note("two\nlines")]) == "A          LONG\nlong cell  x\ns          y z\ntwo\nlines\n"


def test_no_output_controls_the_terminal():
    assert printable("a\x1b]0;b\x07\tc\nd\x85\u202e\r") == "a\\x1b]0;b\\x07\tc\nd\\x85\\u202e\\x0d"


def test_messages_keep_to_one_line_and_their_level():
    stream = io.StringIO()
    messages = Messages(verbosity=2, stream=stream)
    messages.error("one\ntwo")
    messages.warning("w")
    messages.information("i")
    messages.detail("d")
    assert stream.getvalue() == "error: one two\nwarning: w\ninfo: i\n"


def test_quiet_says_why_a_verb_failed_and_nothing_else():
    stream = io.StringIO()
    messages = Messages(quiet=True, verbosity=3, stream=stream)
    for say in (messages.warning, messages.note, messages.information, messages.detail):
        say("x")
    assert not stream.getvalue()
    messages.error("x")
    assert stream.getvalue() == "error: x\n"


def test_a_closed_stream_is_no_error():
    stream = io.StringIO()
    stream.close()
    Messages(stream=stream).error("x")


def change(name: str, old: State, new: State) -> NotifyChange:
    return NotifyChange("a", Node(name, "a", ClusterRole.WORKER, State.RUNNING), old, new)


@pytest.mark.parametrize("state", State)
def test_every_state_has_a_tone_and_is_counted(state: State) -> None:
    node = Node("w1", "a1", ClusterRole.WORKER, State.RUNNING)
    progress = NodeStates(Configuration(nodes=(node,)))
    progress.update(NotifyChange("a1", node, State.PENDING, state))
    assert progress.summary() == f"1 {state.name.lower()}"
    assert state in TONES


def test_progress():
    nodes = tuple(Node(name, "a", ClusterRole.WORKER, State.RUNNING) for name in ("n1", "n2", "n3"))
    progress = NodeStates(Configuration(nodes=nodes))
    assert progress.summary() == "3 without news"
    progress.update(change("n1", State.PENDING, State.RUNNING))
    progress.update(change("n2", State.RUNNING, State.CRASHED))
    assert progress.summary() == "1 running, 1 crashed, 1 without news"
    assert [row[2].text for row in progress.table().rows] == ["pending -> running", "running -> crashed", "no news"]


def test_progress_of_a_large_cluster_shows_what_is_missing():
    nodes = tuple(Node(f"n{n:03}", "a", ClusterRole.WORKER, State.RUNNING) for n in range(LARGEST_TABLE + 5))
    progress = NodeStates(Configuration(nodes=nodes))
    for node in nodes[:-1]:
        progress.update(change(node.name, State.PENDING, State.RUNNING))
    assert [row[1].text for row in progress.table().rows] == [nodes[-1].name]


@pytest.mark.parametrize("height", [3, 8, 24, 50])
def test_progress_fits_on_the_terminal_and_ends_with_the_awaited_nodes(height: int):
    nodes = tuple(Node(f"w{n:02}", "a", ClusterRole.WORKER, State.RUNNING) for n in range(LARGEST_TABLE))
    news = News("r")
    news.latest = DeploymentProgress("r", "c", "launching", nodes=tuple(node.name for node in nodes[2:]))
    console = Console(file=io.StringIO(), width=80, height=height)
    progress = LiveProgress(Configuration(nodes=nodes), news, console)
    progress.watch("", change("w01", State.PENDING, State.RUNNING))
    progress.watch("", change("w30", State.UNKNOWN, State.PENDING))
    lines = ["".join(segment.text for segment in line).strip() for line in console.render_lines(progress.view())]
    assert len(lines) <= height
    assert "awaited: w02, w03, w04, w05, w06, w07 and 32 more" in " ".join(lines[-2:])
    # If there is no room for all, nodes under way come first.
    shown = " ".join(lines)
    assert ("w01 " in shown) == (height == 50)
    assert ("w30 " in shown) == (height > 3)


def test_views_say_what_went_wrong():
    assert plain_text(stage_config.view(Staged(None, ("first", "second")))) == "error: first\nerror: second\n"
    nothing = Deployed(None, (), ("no configuration available to deploy",), ok=False)
    assert plain_text(deploy.view(nothing)) == "error: no configuration available to deploy\n"
    some = Deployed("c", (NodeDeployment("n", "a", success=True),), (), ok=True)
    assert plain_text(deploy.view(some)) == (
        "INSTANCE  NODE  RESULT\na         n     running\ndeployed configuration c, 1 node\n"
    )
    assert "ä" in plain_text(get_id_value.view(IdValues({"n": {"k": "ä"}})))


def test_a_node_that_is_cut_off_looks_different_from_one_that_runs() -> None:
    nodes = (
        NodeDeployment("w1", "i", True),
        NodeDeployment("w2", "i", True, NodeOutputs("", "zeekfleet: the node runs, but is not connected to logger\n")),
    )
    shown = plain_text(deploy.view(Deployed("c", nodes, (), ok=True)))
    assert "w1    running\n" in shown
    assert "w2    running, cut off\n" in shown
    assert "not connected to logger" in shown


def test_unchecked_instances_are_not_reported_as_valid() -> None:
    part = check.view(Checked((), ("here",), {"far": "not checked: without a controller, only this host can be"}))
    assert part[-1] == Note("what was checked is sound; the rest was not looked at", BUSY)
    assert check.view(Checked((), ("here",), {}))[-1] == Note("nothing speaks against this configuration", GOOD)
