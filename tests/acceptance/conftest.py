"""Fleets for the tests: whole ones shared by a module, and empty ones to build up."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))

from fleet import Fleet
from processes import STARTED


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A controller, and agents a1 and a2 that dial it."""
    made = Fleet(tmp_path_factory.mktemp("f"))
    try:
        made.start_controller()
        made.start_agent("a1")
        made.start_agent("a2")
        made.wait_for_instances("a1", "a2")
        yield made
    finally:
        made.stop()


@pytest.fixture
def new_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Fleet]]:
    """Makes fleets without any daemon yet; they are stopped in the end."""
    made: list[Fleet] = []

    def make() -> Fleet:
        made.append(Fleet(tmp_path_factory.mktemp("f")))
        return made[-1]

    try:
        yield make
    finally:
        for one in made:
            one.stop()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show what the daemons logged when a test fails."""
    outcome = yield
    report = outcome.get_result()
    if report.failed and item.path.is_relative_to(Path(__file__).parent):
        for daemon in filter(lambda daemon: daemon.running, STARTED):
            report.sections.append((repr(daemon), str(daemon.log)[-6000:]))
