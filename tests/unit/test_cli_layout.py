"""Tables on terminals of any width: names and states stay whole, and nothing is left out in silence."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zeekfleet.cli.layout import cells, plain_text, terminal_text, widths_of
from zeekfleet.client.verbs.get_nodes import NodesSeen
from zeekfleet.client.verbs.get_nodes import view as nodes_view
from zeekfleet.client.views import BAD, Cell, Note, Table, problem
from zeekfleet.model.enums import ClusterRole, State
from zeekfleet.model.management import NodeStatus
from zeekfleet.model.types import Port

COLUMNS = ("INSTANCE", "NODE", "ROLE", "STATE", "PID", "PORT", "METRICS PORT")
LONG = "sensor-in-the-far-building-0123456789"


def status(name: str) -> NodeStatus:
    return NodeStatus(name, State.RUNNING, cluster_role=ClusterRole.WORKER, pid=4194304, metrics_port=Port(9001))


def nodes_at(width: int, name: str = LONG) -> list[str]:
    view = nodes_view(NodesSeen({LONG[:20]: (status(name), status("w"))}))
    return terminal_text(view, width, in_colour=False).splitlines()


def test_columns_that_do_not_fit_are_named() -> None:
    heading, first, second, left_out = nodes_at(80)
    assert heading.split() == ["INSTANCE", "NODE", "ROLE", "STATE"]
    assert first.split() == [LONG[:20], LONG, "worker", "running"]
    assert second.split() == [LONG[:20], "w", "worker", "running"]
    assert left_out == "left out for want of width: PID, PORT, METRICS PORT (a wider terminal or --json shows all)"


@given(st.integers(1, 300))
def test_names_and_states_are_whole_at_any_width(width: int) -> None:
    heading, first, *_ = nodes_at(width)
    assert first.split()[:4] == [LONG[:20], LONG, "worker", "running"]
    shown = [column for column in COLUMNS if column in heading]
    assert shown == list(COLUMNS[: len(shown)])
    assert len(shown) == 4 or len(first) <= width


@given(st.lists(st.text(), min_size=1, max_size=4), st.integers(1, 60))
def test_other_tables_lose_nothing(texts: list[str], width: int) -> None:
    table = Table(("A", "B"), tuple((Cell("key"), Cell(text)) for text in texts))
    shown = terminal_text([table], width, in_colour=False)
    wide = plain_text([table])
    assert "".join(shown.split()).replace("key", "") == "".join(wide.split()).replace("key", "")


def test_long_texts_are_folded_between_words() -> None:
    table = Table(("NODE", "WHO"), ((Cell("w"), Cell("manager logger-1 worker-22")),))
    assert terminal_text([table], 22, in_colour=False) == ("NODE  WHO\nw     manager logger-1\n      worker-22\n")


def test_wide_characters_are_counted_as_such() -> None:
    assert [cells(text) for text in ("ab", "\u8868", "e\u0301", "")] == [2, 2, 1, 0]
    table = Table(("A", "B"), ((Cell("\u8868\u8868"), Cell("x")), (Cell("abcd"), Cell("y"))))
    assert plain_text([table]) == "A     B\n\u8868\u8868  x\nabcd  y\n"


def test_colours_change_no_width() -> None:
    view = [Table(("A", "B"), ((Cell("a", BAD), Cell("b")),)), Note("n", BAD), problem("it is broken")]
    assert terminal_text(view, 80).splitlines() == [
        "\x1b[1mA\x1b[0m  \x1b[1mB\x1b[0m",
        "\x1b[1;31ma\x1b[0m  b",
        "\x1b[1;31mn\x1b[0m",
        "\x1b[1;31merror: it is broken\x1b[0m",
    ]
    assert terminal_text(view, 80, in_colour=False) == plain_text(view)


def test_a_table_goes_on_below_another() -> None:
    first = Table(("NODE", "EVENT"), ((Cell("worker-1"), Cell("it smokes")),))
    second = Table(first.columns, ((Cell("w"), Cell("it burns")),), widths=widths_of(first)[:1], heading=False)
    assert plain_text([first]) == "NODE      EVENT\nworker-1  it smokes\n"
    assert plain_text([second]) == "w         it burns\n"
    assert widths_of(second) == (8, 8)
