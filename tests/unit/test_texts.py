"""Texts from outside do what a text does, and nothing else."""

from __future__ import annotations

import io
import logging
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekfleet.logs.handlers import configure
from zeekfleet.model.texts import one_line, printable, shown

HOSTILE = "name\x1b[2J\r\n2026-01-01T00:00:00Z [error    ] all is lost\x07\u202egnp.exe\x9b31m\u2028\ud800"


@given(st.text(st.characters()))
def test_nothing_that_controls_a_terminal_is_left(text: str) -> None:
    controls = ("Cc", "Cf", "Cs", "Zl", "Zp")
    assert not any(unicodedata.category(character) in controls for character in one_line(text))
    assert not any(
        unicodedata.category(character) in controls for character in printable(text) if character not in "\n\t"
    )
    assert shown(text).isprintable()
    assert len(shown(text)) <= 203


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_what_is_harmless_stays(text: str) -> None:
    assert printable(text) == one_line(text) == text


def test_what_is_escaped_can_be_read() -> None:
    assert one_line("a\x1bb\x9bc\u202ed\U000e0001e\r\nf\tg") == r"a\x1bb\x9bc\u202ed\U000e0001e f g"
    assert printable("a\n\tb\r") == "a\n\tb\\x0d"


@pytest.fixture
def root_handlers():
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_log_line_stays_one_line(form: str, root_handlers: None) -> None:
    stream = io.StringIO()
    configure(form, "info", stream)  # type: ignore[arg-type]
    logging.getLogger("zeekfleet.test").warning("refused: %s", HOSTILE)
    written = stream.getvalue()
    assert written.endswith("\n")
    assert written[:-1].isprintable()
