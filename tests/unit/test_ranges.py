"""One table of ranges for all who read a node's grace, revival and resources."""

from __future__ import annotations

import math
from typing import get_args, get_type_hints

import msgspec
import pytest

from zeekfleet.daemon.graced import resources_of
from zeekfleet.errors import SettingsError
from zeekfleet.model import ranges
from zeekfleet.model.launch import LaunchSpec, Resources, RevivalSettings
from zeekfleet.settings import SupervisorSettings
from zeekfleet.supervisor import places


def bounds(field: str) -> msgspec.Meta:
    (kind, *_) = get_args(get_type_hints(SupervisorSettings, include_extras=True)[field])
    hints = get_args(get_type_hints(SupervisorSettings, include_extras=True)[field])
    return next(hint for hint in (*hints, *get_args(kind)) if isinstance(hint, msgspec.Meta))


@pytest.mark.parametrize("field", ranges.REVIVAL)
def test_the_daemons_settings_are_within(field: str) -> None:
    meta = bounds(f"revival_{field}")
    assert (meta.ge, meta.le) == (ranges.REVIVAL[field].least, ranges.REVIVAL[field].most)


def test_so_are_the_others() -> None:
    assert (bounds("grace").gt, bounds("grace").le) == (ranges.GRACE.least, ranges.GRACE.most)
    assert (bounds("nice").ge, bounds("nice").le) == (-20, 19)
    assert bounds("memory_limit").le == ranges.RESOURCES["memory"].most
    assert bounds("open_files").le == ranges.RESOURCES["open_files"].most
    assert bounds("core_limit").le == ranges.RESOURCES["core"].most


def test_the_tables_name_fields_and_their_defaults_are_within() -> None:
    assert ranges.REVIVAL.keys() == {field for field in RevivalSettings.__struct_fields__ if field != "enabled"}
    assert ranges.RESOURCES.keys() == {field for field in Resources.__struct_fields__ if field != "cgroup"}
    assert list(ranges.problems(5.0, RevivalSettings(), Resources())) == []
    assert list(ranges.problems(None, None, None)) == []


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -1])
def test_what_is_no_number_is_in_no_range(number: float) -> None:
    for key in ranges.REVIVAL:
        record = msgspec.structs.replace(RevivalSettings(), **{key: number})
        assert [found for found, _ in ranges.problems(None, record, None)] == [f"revival.{key}"]
    assert [found for found, _ in ranges.problems(number, None, None)] == ["grace"]


def test_the_stem_is_given_nothing_that_it_would_refuse() -> None:
    spec = LaunchSpec("a", ("x",), {"A": "b"}, "/", "/o", "/e")
    assert places.problem_with_launch(spec) == ""
    for change in (
        {"argv": ("x", "\ud800")},
        {"env": {"A": "\udcff"}},
        {"env": {"A": "\0"}},
        {"grace": math.inf},
        {"revival": RevivalSettings(stable_after=math.inf)},
    ):
        assert "node 'a' cannot be started: " in places.problem_with_launch(msgspec.structs.replace(spec, **change))


def test_a_limit_with_which_nothing_could_live_is_refused() -> None:
    for bytes_ in (1, 2**20 - 1):
        with pytest.raises(SettingsError, match=r"memory_limit: expected bytes from 1048576 .*, or 0 for any"):
            resources_of(SupervisorSettings(memory_limit=bytes_))
    assert resources_of(SupervisorSettings(memory_limit=0)).memory is None
    assert resources_of(SupervisorSettings(memory_limit=2**20)).memory == 2**20
