"""Options of daemons that do nothing because of another setting: refused, since whoever gives one wants something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from zeekfleet.errors import SettingsError
from zeekfleet.resolution import Origin, Resolved


class _Condition(msgspec.Struct, frozen=True):
    """Settings whose keys begin so count only while another setting has a value that holds.

    Attributes:
        beginning: of their keys, without the other's own.
        other: the other's key.
        holds: of its value.
        words: what it would have to be.
    """

    beginning: str
    other: str
    holds: Callable[[Any], bool] = bool
    words: str = "yes"


def _is_positive(value: Any) -> bool:
    return bool(value > 0)


_CONDITIONS = (
    _Condition("controller.auto_assign_start_port", "controller.auto_assign_ports"),
    _Condition("controller.auto_assign_metrics_start_port", "controller.auto_assign_metrics_ports"),
    _Condition("agent.health_misses", "agent.health_interval", _is_positive, "more than 0"),
    _Condition("supervisor.backend", "supervisor.engine", lambda engine: engine != "sim", "auto or zeek"),
    _Condition("supervisor.zeromq_", "supervisor.backend", lambda backend: backend == "zeromq", "zeromq"),
    _Condition("supervisor.revival_", "supervisor.revival"),
    _Condition("supervisor.crash_days", "supervisor.crash_reports", _is_positive, "more than 0"),
    _Condition("archive.", "archive.enabled"),
    _Condition("archive.compression", "archive.command", lambda command: not command, "empty"),
    _Condition("archive.interval", "archive.command", bool, "given"),
)


def refuse_inapplicable(resolved: Resolved) -> None:
    """Refuse options of the command line that do not apply; in variables and files they may stand for other days.

    Raises:
        SettingsError: one does not apply.
    """
    given = {key: source.text for key, source in resolved.sources.items() if source.origin is Origin.OPTION}
    for condition in _CONDITIONS:
        if condition.other not in resolved.sources or condition.holds(_value(resolved, condition.other)):
            continue
        for key, option in given.items():
            if key.startswith(condition.beginning) and key != condition.other:
                source = resolved.sources[condition.other]
                why = f"only counts where {condition.other} is {condition.words}"
                raise SettingsError(option, f"does not apply: it {why} (which comes from: {source})")


def _value(resolved: Resolved, key: str) -> Any:
    section, name = key.split(".", maxsplit=1)
    return getattr(getattr(resolved.settings, section), name)
