"""One table of ranges for everything that reads a node's grace, revival and resources."""

from __future__ import annotations

import math

import msgspec
import pytest

from zeekfleet.daemon.launch_defaults import resources_of
from zeekfleet.errors import SettingsError
from zeekfleet.model import ranges
from zeekfleet.model.launch import LaunchSpec, Resources, RevivalSettings
from zeekfleet.resolution import Declaration, declarations, resolve
from zeekfleet.settings import Settings
from zeekfleet.supervisor import places


@pytest.mark.parametrize("declaration", [*declarations(Settings.__struct_fields__)], ids=lambda each: str(each.key))
def test_every_number_of_the_daemons_has_a_range_with_its_default_in_it(declaration: Declaration) -> None:
    setting, is_number = declaration.setting, declaration.type in (int, float)
    assert (setting.within is not None) is is_number
    if setting.within is not None:
        assert setting.allows(getattr(getattr(Settings(), declaration.section), declaration.name))


def test_the_tables_name_fields_and_their_defaults_are_within() -> None:
    assert ranges.REVIVAL.keys() == {field for field in RevivalSettings.__struct_fields__ if field != "enabled"}
    assert ranges.RESOURCES.keys() == {field for field in Resources.__struct_fields__ if field != "cgroup"}
    assert list(ranges.problems(5.0, RevivalSettings(), Resources())) == []
    assert list(ranges.problems(None, None, None)) == []


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -1])
def test_nan_is_in_no_range(number: float) -> None:
    for key in ranges.REVIVAL:
        record = msgspec.structs.replace(RevivalSettings(), **{key: number})
        assert [found for found, _ in ranges.problems(None, record, None)] == [f"revival.{key}"]
    assert [found for found, _ in ranges.problems(number, None, None)] == ["grace"]


def test_the_stem_accepts_whatever_the_settings_accept() -> None:
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


@pytest.mark.parametrize(
    ("name", "wrong", "least"),
    [("memory_limit", "1", 2**20), ("memory_limit", str(2**20 - 1), 2**20), ("open_files", "8", 16)],
)
def test_a_limit_that_is_too_low_for_any_process_is_refused(name: str, wrong: str, least: int) -> None:
    """Otherwise the daemon would start, and then refuse each node."""
    with pytest.raises(SettingsError, match=rf"'{wrong}' is wrong: expected a whole number, .* from {least} .*, or 0$"):
        resolve(("supervisor",), {f"supervisor.{name}": wrong}, {})
    for text in ("0", str(least)):
        resources = resources_of(resolve(("supervisor",), {f"supervisor.{name}": text}, {}).settings.supervisor)
        assert places.problem_with_launch(LaunchSpec("a", ("x",), {}, "/", "/o", "/e", resources=resources)) == ""
