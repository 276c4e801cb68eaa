"""Translates between the two generations of the API's names (docs/protocol.md, section 9).

All other code uses the names of the second generation. An event that arrives
under a first-generation name is read in that generation's layout. The generation
accompanies the event, so that the response is written in the same generation.
"""

from __future__ import annotations

import enum
import importlib
from pathlib import Path

import msgspec

from zeekfleet.broker import events, topics
from zeekfleet.broker.codec import Codec, Layout
from zeekfleet.broker.events.base import Event
from zeekfleet.model import management
from zeekfleet.model.enums import Role, State

FIRST_SCOPE = "ClusterController::Types"
FIRST_TOPIC_ROOT = "zeek/cluster-control"
SECOND_TOPIC_ROOT = "zeek/management"
FIRST_NAMES = (
    ("Management::Agent::API::", "ClusterAgent::API::"),
    ("Management::Controller::API::", "ClusterController::API::"),
)
FIRST_FIELDS: dict[type[msgspec.Struct], tuple[str, ...]] = {
    management.Result: ("reqid", "instance", "success", "data", "error", "node"),
    management.Node: management.Node.__struct_fields__[:-1],
    management.NodeStatus: management.NodeStatus.__struct_fields__[:-1],
}


class FirstLayout(Layout):
    """Records and enums as Zeek 4.2 wrote them."""

    def fields(self, record: type[msgspec.Struct]) -> tuple[str, ...]:
        """Result has its fields in another order; Node and NodeStatus have no metrics port."""
        return FIRST_FIELDS.get(record, record.__struct_fields__)

    def empty_means_unset(self, record: type[msgspec.Struct], field: str) -> bool:
        """Result's instance and error are mandatory strings in the first generation."""
        return record is management.Result and field in ("instance", "error")

    def enum_scope(self, enumeration: type[enum.Enum]) -> str:
        """Role and State have the scope of the controller's types."""
        return FIRST_SCOPE if enumeration in (Role, State) else super().enum_scope(enumeration)


class Generation:
    """One generation: its events by name, its record layout, its topics."""

    def __init__(self, number: int, layout: Layout, topic_root: str, events: dict[str, type[Event]]) -> None:
        self.number = number
        self.codec = Codec(layout)
        self.events = events
        self.names = {event: name for name, event in events.items()}
        self._topic_root = topic_root

    def __repr__(self) -> str:
        return f"<generation {self.number}>"

    def topic(self, topic: str) -> str:
        """This generation's name for a topic, given by its second-generation name."""
        return self._topic_root + topic.removeprefix(SECOND_TOPIC_ROOT) if _managed(topic) else topic


def _managed(topic: str) -> bool:
    return topic.startswith((topics.AGENT_PREFIX, topics.CONTROLLER))


def _declared() -> list[type[Event]]:
    """Every event class in the modules of ``broker.events``. A new module there needs no registration."""
    # Without pkgutil: importing it would take three per cent of a command's time.
    names = sorted(file.stem for file in Path(events.__path__[0]).glob("[!_]*.py"))
    modules = [importlib.import_module(f"{events.__name__}.{name}") for name in names]
    return [
        item
        for module in modules
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Event) and "event_name" in vars(item)
    ]


def _first_name(event: type[Event]) -> str:
    name = event.event_name
    for second, first in FIRST_NAMES:
        name = name.replace(second, first)
    return name


def _is_first_only(event: type[Event]) -> bool:
    return event.event_name.startswith(tuple(first for _, first in FIRST_NAMES))


_ALL = _declared()

SECOND = Generation(
    2, Layout(), SECOND_TOPIC_ROOT, {event.event_name: event for event in _ALL if not _is_first_only(event)}
)
FIRST = Generation(
    1,
    FirstLayout(),
    FIRST_TOPIC_ROOT,
    {_first_name(event): event for event in _ALL if event.first_generation or _is_first_only(event)},
)
GENERATIONS = (SECOND, FIRST)


def find_event(name: str) -> tuple[Generation, type[Event]] | None:
    """The generation and the class of the event with this name on the wire; None for an unknown name."""
    for generation in GENERATIONS:
        event = generation.events.get(name)
        if event is not None:
            return generation, event
    return None


def canonical_topic(topic: str) -> str:
    """The second generation's name for a topic of either generation."""
    if topic.startswith(FIRST_TOPIC_ROOT + "/"):
        return SECOND_TOPIC_ROOT + topic.removeprefix(FIRST_TOPIC_ROOT)
    return topic
