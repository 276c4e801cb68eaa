"""Results to typed outcomes, compared with zeek-client's own order and rules."""

from __future__ import annotations

import random

from zeekclient.types import Result as TheirResult

from zeekfleet.broker.values import Count, String, Vector
from zeekfleet.cli.showing import json_text
from zeekfleet.client.results import Failure, in_order
from zeekfleet.client.verbs.deploy import read_deployed
from zeekfleet.client.verbs.get_id_value import read_id_values
from zeekfleet.client.verbs.get_nodes import read_nodes
from zeekfleet.client.verbs.restart import read_restarted
from zeekfleet.client.verbs.status import report_document
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Result
from zeekfleet.model.supervision import NodeDetails, NodeReport


def test_order_is_zeek_clients():
    dice = random.Random(7)
    names = [None, "", "a", "b", "a10", "a2"]
    for _ in range(300):
        drawn = [(dice.choice(names), dice.choice(names), str(place)) for place in range(dice.randrange(9))]
        theirs = sorted(TheirResult("r", instance=instance, node=node, error=error) for instance, node, error in drawn)
        ours = in_order(Result("r", instance=instance, node=node, error=error) for instance, node, error in drawn)
        assert [result.error for result in ours] == [result.error for result in theirs]


def test_deployed_without_nodes():
    outcome = read_deployed([Result("r", instance="a"), Result("r", data=String("c"))])
    assert outcome.ok
    assert outcome.document() == {"results": {"id": "c"}, "errors": []}


def test_deploy_failure_without_any_text_still_fails():
    outcome = read_deployed([Result("r", success=False)])
    assert not outcome.ok
    assert outcome.skipped == ("error (reqid r)",)


def test_deploy_with_an_empty_data_vector_is_no_id():
    assert read_deployed([Result("r", data=Vector([]))]).id is None


def test_nodes_of_an_instance_with_an_invalid_answer():
    outcome = read_nodes([Result("r", instance="a", data=Count(1))])
    assert outcome.instances == {"a": ()}
    assert not outcome.ok
    assert outcome.malformed[0].startswith("node status data of instance 'a' is invalid: ")


def test_id_values():
    outcome = read_id_values(
        [
            Result("r", instance="a", node="n", data=String("18446744073709551616")),
            Result("r", instance="a", node="deep", data=String("[" * 100_000)),
            Result("r", success=False, node="x", error="unknown cluster node"),
        ]
    )
    assert outcome.values == {"n": 2**64}
    assert [failure.source for failure in outcome.errors] == ["deep", "x"]
    assert outcome.errors[1] == Failure("unknown cluster node", "x")


def test_json_is_sorted_indented_ascii():
    assert json_text({"b": "ä", "a": []}) == '{\n  "a": [],\n  "b": "\\u00e4"\n}\n'
    assert json_text({"b": 1, "a": 2}, pretty=False) == '{"a": 2, "b": 1}\n'


def test_asked_nodes_without_a_result_have_not_answered():
    found = [Result("r", instance="a", node="w1", data=String("1")), Result("r", success=False, node="w2", error="no")]
    asked = {"w1", "w2", "w4", "w3"}
    for outcome in (read_id_values(found, asked), read_restarted(found, asked)):
        assert outcome.silent == ("w3", "w4")
    only = read_id_values(found[:1], {"w1", "w2"})
    assert (only.errors, only.silent, only.ok) == ((), ("w2",), False)


def test_a_history_has_the_same_keys_with_and_without_details():
    details = NodeDetails("n", "running", pid=7, since=1.0)
    told = NodeReport("n", ClusterRole.WORKER, State.RUNNING, 1.0, details)
    untold = NodeReport("n", ClusterRole.WORKER, State.UNKNOWN, 2.0)
    one, other = report_document(told), report_document(untold)
    assert one.keys() == other.keys()
    assert (one["pid"], one["since"]) == (7, 1.0)
    assert (other["pid"], other["since"]) == (None, 2.0)
