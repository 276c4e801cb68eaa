"""Refuses options of daemons that have no effect because of another setting, so that nobody relies on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from zeekfleet.errors import SettingsError
from zeekfleet.resolution import Origin, Resolved


class _Condition(msgspec.Struct, frozen=True):
    """Settings that have an effect only if another setting has a certain value.

    Attributes:
        beginning: the beginning of these settings' keys; the other setting is not one of them.
        other: the key of the other setting.
        holds: returns whether they have an effect with a value of the other setting.
        words: which values of the other setting these are, for a person.
    """

    beginning: str
    other: str
    holds: Callable[[Any], bool] = bool
    words: str = "yes"

    def concerns(self, key: str) -> bool:
        """Whether a setting is one of these."""
        return key.startswith(self.beginning) and key != self.other


def _is_positive(value: Any) -> bool:
    return bool(value > 0)


def _has_backend(engine: str) -> bool:
    """Whether nodes of this engine are connected by a cluster back end: those that read traffic are."""
    from zeekfleet.node.engines import may_read_traffic  # noqa: PLC0415 - takes a tenth of a second, and is seldom needed

    return may_read_traffic(engine)


_CONDITIONS = (
    _Condition("controller.auto_assign_start_port", "controller.auto_assign_ports"),
    _Condition("controller.auto_assign_metrics_start_port", "controller.auto_assign_metrics_ports"),
    _Condition("agent.health_misses", "agent.health_interval", _is_positive, "more than 0"),
    _Condition(
        "controller.first_generation_clients", "controller.tls_ca", lambda authorities: not authorities, "empty"
    ),
    _Condition("supervisor.backend", "supervisor.engine", _has_backend, "auto or zeek"),
    _Condition("supervisor.zeromq_", "supervisor.backend", lambda backend: backend == "zeromq", "zeromq"),
    _Condition("supervisor.node_group", "supervisor.node_user", bool, "given"),
    _Condition("supervisor.revival_", "supervisor.revival"),
    _Condition("supervisor.crash_days", "supervisor.crash_reports", _is_positive, "more than 0"),
    _Condition("archive.", "archive.enabled"),
    _Condition("archive.compression", "archive.command", lambda command: not command, "empty"),
    _Condition("archive.interval", "archive.command", bool, "given"),
)


def refuse_inapplicable(resolved: Resolved) -> None:
    """Refuse command line options that have no effect. In variables and files such settings are accepted.

    Raises:
        SettingsError: one has no effect.
    """
    given = {key: source.text for key, source in resolved.sources.items() if source.origin is Origin.OPTION}
    for condition in _CONDITIONS:
        source = resolved.sources.get(condition.other)
        options = (option for key, option in given.items() if condition.concerns(key))
        option = next(options, None)
        if source is None or option is None or condition.holds(_value(resolved, condition.other)):
            continue
        why = f"only counts where {condition.other} is {condition.words}"
        raise SettingsError(option, f"does not apply: it {why} (which comes from: {source})")


def _value(resolved: Resolved, key: str) -> Any:
    section, name = key.split(".", maxsplit=1)
    return getattr(getattr(resolved.settings, section), name)
