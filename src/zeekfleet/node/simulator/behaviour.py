"""Environment variables that make a simulated node misbehave, or write output.

==============================  =====================================================================
``ZEEKFLEET_SIM_START_DELAY``   seconds that it waits at its start, after its first line of output
``ZEEKFLEET_SIM_FAIL_AT_START`` exit status (1 to 255) to end with at once, after a line on stderr
``ZEEKFLEET_SIM_CRASH_AFTER``   seconds after its start at which SIGABRT ends it, after a line on stderr
``ZEEKFLEET_SIM_IGNORE_SIGTERM``  ``1``: only SIGKILL ends it
``ZEEKFLEET_SIM_END_WRITING``   seconds that it goes on writing into ``last.log`` when it is told to end
``ZEEKFLEET_SIM_SILENT``        ``1``: connects, but neither says hello nor answers
``ZEEKFLEET_SIM_MISSING_PEERS`` nodes that it claims not to be connected to, separated by commas, or ``all``
``ZEEKFLEET_SIM_OUTPUT``        text for standard output at the start; ``\\n`` starts a new line
``ZEEKFLEET_SIM_ERRORS``        the same for standard error
``ZEEKFLEET_SIM_OUTPUT_REPEAT`` how many times the two are written (default 1)
==============================  =====================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from zeekfleet.errors import SettingsError

PREFIX = "ZEEKFLEET_SIM_"
LONGEST = 366 * 86400.0
MOST_REPEATS = 10_000_000


class Behaviour:
    """How the node behaves; by default it works well. Times are in seconds.

    Raises:
        SettingsError: a variable has an invalid value.
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        after = given.get("CRASH_AFTER")
        self.start_delay = _seconds("START_DELAY", given.get("START_DELAY", "0"))
        self.fail_at_start = _number("FAIL_AT_START", given.get("FAIL_AT_START", "0"), 255)
        self.crash_after = None if after is None else _seconds("CRASH_AFTER", after)
        self.ignore_sigterm = _flag("IGNORE_SIGTERM", given.get("IGNORE_SIGTERM", "0"))
        self.end_writing = _seconds("END_WRITING", given.get("END_WRITING", "0"))
        self.silent = _flag("SILENT", given.get("SILENT", "0"))
        self.output = _lines(given.get("OUTPUT", ""))
        self.errors = _lines(given.get("ERRORS", ""))
        self.output_repeat = _number("OUTPUT_REPEAT", given.get("OUTPUT_REPEAT", "1"), MOST_REPEATS)
        self.missing_peers = given.get("MISSING_PEERS", "")


def read(environment: Mapping[str, str]) -> Behaviour:
    """The behaviour that the variables ask for. An empty variable counts as absent.

    Raises:
        SettingsError: a variable has an invalid value, or is unknown.
    """
    given = {name.removeprefix(PREFIX): text for name, text in environment.items() if name.startswith(PREFIX) and text}
    known = {name.upper() for name in vars(Behaviour({}))}
    for name in sorted(given.keys() - known):
        raise SettingsError(PREFIX + name, f"unknown; there are {', '.join(sorted(known))}")
    return Behaviour(given)


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= LONGEST:
        raise SettingsError(PREFIX + name, f"'{text}' is no number of seconds from 0 to a year")
    return seconds


def _number(name: str, text: str, largest: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 12 and int(text) <= largest):
        raise SettingsError(PREFIX + name, f"'{text}' is no whole number from 0 to {largest}")
    return int(text)


def _flag(name: str, text: str) -> bool:
    if text not in ("0", "1"):
        raise SettingsError(PREFIX + name, f"'{text}' is neither 0 nor 1")
    return text == "1"


def _lines(text: str) -> tuple[str, ...]:
    return tuple(text.replace("\\n", "\n").splitlines())
