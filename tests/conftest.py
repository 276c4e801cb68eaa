"""Settings of all tests."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# A noisy machine must not fail a test: what an example takes is nobody's business here.
settings.register_profile("zeekfleet", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=False)
settings.load_profile("zeekfleet")

# A shell ignores these for what it runs in the background, and what tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)

# Daemons and verbs find the modules compiled, as they do where they are installed; otherwise each process that a test
# starts would compile all of them, which takes it longer than what is tested.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

SHOWN = 10_000
"""Characters of either end of a long text in a report."""


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Iterator[Any]:
    """Reports travel from worker to terminal as UTF-8, which lone surrogates in a test's log have no place in.

    An example that fails may be large: of a text that nobody would read to its end, both ends are shown.
    """
    return _writable((yield))


def _writable(value: Any) -> Any:
    match value:
        case str():
            if (left_out := len(value) - 2 * SHOWN) > 0:
                value = f"{value[:SHOWN]}\n[{left_out} characters left out]\n{value[-SHOWN:]}"
            return value.encode(errors="backslashreplace").decode()
        case dict():
            return {key: _writable(each) for key, each in value.items()}
        case list() | tuple():
            return type(value)(map(_writable, value))
        case _:
            return value
