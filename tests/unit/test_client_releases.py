"""How ``version --all`` shows the answers."""

from __future__ import annotations

import msgspec

from zeekfleet.broker import values
from zeekfleet.broker.generations import SECOND
from zeekfleet.cli.version import view
from zeekfleet.client.results import Failure
from zeekfleet.client.verbs.version import read_releases
from zeekfleet.client.views import Note
from zeekfleet.model.management import Result
from zeekfleet.model.releases import PartRelease


def result(instance: str | None, *parts: PartRelease) -> Result:
    return Result("r", instance=instance, data=msgspec.json.decode(SECOND.codec.to_json(parts), type=values.Value))


def test_releases_of_parts_and_nodes_and_of_those_that_did_not_answer() -> None:
    new, old = PartRelease("controller", 1, "0.2.0", "aaaa", "/opt", "/bin/python3"), PartRelease("stem", 2)
    gone = Result("r", False, "b", error="instance 'b' is missing: gone since 14:03")
    failures = [Failure("unknown id", "w2"), Failure("request timed out", "w3")]
    told = read_releases([result(None, new), result("a", old), gone], {"w1": {"version_string": "9.0.0"}}, failures)
    assert told.parts == {"": (new,), "a": (old,)}
    assert told.nodes == {"w1": "9.0.0", "w2": "unknown"}
    assert [failure.source for failure in told.errors] == ["b", "w3"]
    notes = [entry.text for entry in view(told) if isinstance(entry, Note)]
    assert notes[0] == "2 different builds run: an upgrade is not complete"
