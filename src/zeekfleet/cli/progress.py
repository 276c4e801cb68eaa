"""Shows a deployment while it runs: which nodes are pending, which run, which failed.

:class:`NodeStates` is pure; :class:`LiveProgress` shows it with rich on
stderr. At the end only the agents' error messages stay on the screen.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from zeekfleet.broker.events.agent import NotifyChange, NotifyError
from zeekfleet.broker.events.base import Event
from zeekfleet.cli.colour import renderable
from zeekfleet.client.carrier import Watch
from zeekfleet.client.news import News
from zeekfleet.client.node_cells import TONES
from zeekfleet.client.views import BAD, FAINT, Cell, Note, Table
from zeekfleet.model.enums import State
from zeekfleet.model.management import Configuration
from zeekfleet.model.texts import printable

LARGEST_TABLE = 40
"""The most rows of the table, even on a taller terminal."""

FRAME = 4
"""Lines of a table that are not rows: empty lines, the headings, and a rule."""

NAMED = 6
"""The most awaited nodes that the summary names."""


class NodeStates:
    """What is known of each node so far. A node without news may be one that the deployment does not touch."""

    def __init__(self, configuration: Configuration) -> None:
        self._states: dict[tuple[str, str], State | None] = {
            (node.instance, node.name): None
            for node in sorted(configuration.nodes, key=lambda node: (node.instance, node.name))
        }
        self._moves: dict[tuple[str, str], str] = {}

    def update(self, event: Event) -> None:
        """Record a node's change of state."""
        if isinstance(event, NotifyChange):
            self._states[event.instance, event.n.name] = event.new
            self._moves[event.instance, event.n.name] = f"{event.old.name.lower()} -> {event.new.name.lower()}"

    def summary(self) -> str:
        """How many nodes are in which state, such as ``3 running, 1 pending, 2 without news``."""
        known = list(self._states.values())
        counts = {state: known.count(state) for state in (*State, None)}
        order = (State.RUNNING, State.PENDING, State.FAILED, State.CRASHED, State.STOPPED, State.UNKNOWN, None)
        told = [
            f"{counts[state]} {state.name.lower() if state else 'without news'}" for state in order if counts[state]
        ]
        return ", ".join(told) or "waiting for the controller"

    def table(self, most: int = LARGEST_TABLE) -> Table:
        """A row for each node. If there are too many: only nodes that do not run yet, those with news first."""
        shown = list(self._states.items())  # a copy, since rich draws in its own thread
        if len(shown) > most:
            shown = [(place, state) for place, state in shown if state is not State.RUNNING]
            shown = sorted(shown, key=lambda row: row[1] is None)[:most]
        rows = tuple(
            (
                Cell(instance),
                Cell(node),
                Cell(self._moves.get((instance, node), "no news"), FAINT if state is None else TONES[state]),
            )
            for (instance, node), state in shown
        )
        return Table(("INSTANCE", "NODE", "STATE"), rows)


class LiveProgress:
    """Shows a deployment's progress while the context lasts. Entering it returns the function to call with events."""

    def __init__(self, configuration: Configuration, news: News, console: Console | None = None) -> None:
        self._news = news
        self._progress = NodeStates(configuration)
        self._started = time.monotonic()
        self._console = console or Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, transient=True, get_renderable=self.view, refresh_per_second=8)

    def __enter__(self) -> Watch:
        self._live.start()
        return self.watch

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def watch(self, _topic: str, event: Event) -> bool:
        """Record an event. Returns False: here events never count as signs of progress."""
        self._progress.update(event)
        if isinstance(event, NotifyError):
            place = f"{event.instance}, {event.node}" if event.node else event.instance
            self._console.print(Text(printable(f"{place}: {event.msg}"), style=BAD))
        return False

    def view(self) -> Group:
        """The present view. It fits the terminal; else rich would cut off the last line, which names awaited nodes."""
        seconds = time.monotonic() - self._started
        latest = self._news.latest
        step = self._news.waiting() or (latest.step if latest is not None else "deploying")
        awaited = f"; awaited: {_some(latest.nodes)}" if latest is not None and latest.nodes else ""
        summary = renderable(Note(f"{step}, {seconds:.0f} s: {self._progress.summary()}{awaited}"))
        room = self._console.height - FRAME - len(self._console.render_lines(summary))
        if room < 1:
            return Group(summary)
        return Group(renderable(self._progress.table(min(room, LARGEST_TABLE))), summary)


def _some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    told = ", ".join(names[:NAMED])
    return f"{told} and {len(names) - NAMED} more" if len(names) > NAMED else told
