"""Results to typed outcomes, compared with zeek-client's own order and rules."""

from __future__ import annotations

import random

from zeekclient.types import Result as TheirResult

from zeekfleet.broker.values import Count, String, Vector
from zeekfleet.client import report, results
from zeekfleet.client.histories import Histories
from zeekfleet.client.results import Failure
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import Result
from zeekfleet.model.supervision import NodeDetails, NodeReport


def test_order_is_zeek_clients():
    dice = random.Random(7)
    names = [None, "", "a", "b", "a10", "a2"]
    for _ in range(300):
        drawn = [(dice.choice(names), dice.choice(names), str(place)) for place in range(dice.randrange(9))]
        theirs = sorted(TheirResult("r", instance=instance, node=node, error=error) for instance, node, error in drawn)
        ours = results.in_order(
            Result("r", instance=instance, node=node, error=error) for instance, node, error in drawn
        )
        assert [result.error for result in ours] == [result.error for result in theirs]


def test_deployed_without_nodes():
    outcome = results.read_deployed([Result("r", instance="a"), Result("r", data=String("c"))])
    assert outcome.ok
    assert report.deployed(outcome) == {"results": {"id": "c"}, "errors": []}


def test_deploy_failure_without_any_text_still_fails():
    outcome = results.read_deployed([Result("r", success=False)])
    assert not outcome.ok
    assert outcome.skipped == ("error (reqid r)",)


def test_deploy_with_an_empty_data_vector_is_no_id():
    assert results.read_deployed([Result("r", data=Vector([]))]).id is None


def test_nodes_of_an_instance_that_tells_nonsense():
    outcome = results.read_nodes([Result("r", instance="a", data=Count(1))])
    assert outcome.instances == {"a": ()}
    assert not outcome.ok
    assert outcome.malformed[0].startswith("node status data of instance 'a' is invalid: ")


def test_id_values():
    outcome = results.read_id_values(
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
    assert report.to_text({"b": "ä", "a": []}) == '{\n  "a": [],\n  "b": "\\u00e4"\n}'
    assert report.to_text({"b": 1, "a": 2}, pretty=False) == '{"a": 2, "b": 1}'


def test_a_history_has_the_same_keys_whether_its_supervisor_tells_or_not():
    details = NodeDetails("n", "running", pid=7, since=1.0)
    told = NodeReport("n", ClusterRole.WORKER, State.RUNNING, 1.0, details)
    untold = NodeReport("n", ClusterRole.WORKER, State.UNKNOWN, 2.0)
    documents = Histories({"i": (told,), "j": (untold,)}).document()["results"]
    assert documents["i"]["n"].keys() == documents["j"]["n"].keys()
    assert (documents["i"]["n"]["pid"], documents["i"]["n"]["since"]) == (7, 1.0)
    assert (documents["j"]["n"]["pid"], documents["j"]["n"]["since"]) == (None, 2.0)
