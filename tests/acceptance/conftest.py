"""Fleets for the tests: whole ones shared by a module, and empty ones to build up."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))

from fleet import Fleet, ini
from processes import STARTED

from support.waiting import until


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A controller that serves clients at the port for agents as well, and agents a1 and a2; see ``fleet``."""
    made = Fleet(tmp_path_factory.mktemp("f"))
    try:
        made.start_controller(first_generation_clients="yes")
        made.start_agent("a1")
        made.start_agent("a2")
        made.wait_for_instances("a1", "a2")
        yield made
    finally:
        made.stop()


@pytest.fixture
def fleet(shared: Fleet) -> Fleet:
    """A running controller, and agents a1 and a2 that are connected, without nodes; each test deploys what it needs.

    All tests share them, as they are slow to start; what a test ended is started again, what it deployed is stopped:
    agents on one host cannot take over each other's ports within a deployment.
    """
    ended = [daemon for daemon in shared.daemons if not daemon.running]
    for daemon in ended:
        daemon.start()
    if ended:
        shared.wait_for_instances("a1", "a2")
    nothing = ini(["a1", "a2"], {})
    until(lambda: shared.client("deploy-config", "-", text=nothing).code == 0, "the nodes of another test stopped")
    return shared


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A controller without agents, that nobody ever sends a configuration, and that times out after a second."""
    made = Fleet(tmp_path_factory.mktemp("f"))
    try:
        made.start_controller(request_timeout=1)
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def lone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A controller without agents, so that nothing is ever deployed; it times out after 1.5 s."""
    made = Fleet(tmp_path_factory.mktemp("f"))
    try:
        made.start_controller(request_timeout=1.5)
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A controller that times out after two seconds, and agent a1; never is anything deployed."""
    made = Fleet(tmp_path_factory.mktemp("f"))
    try:
        made.start_controller(request_timeout=2)
        made.start_agent("a1")
        made.wait_for_instances("a1")
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
            for file in daemon.state_directory.glob("nodes/*/stderr"):
                if "Traceback" in (text := file.read_text(errors="replace")):
                    report.sections.append((str(file), text[-3000:]))
