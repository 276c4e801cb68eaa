"""The reference says what the code declares."""

from __future__ import annotations

from pathlib import Path

import pytest

from zeekfleet.cli import exit_codes, reference
from zeekfleet.cli.purposes import VERBS

COMMITTED = Path(__file__).parents[2] / "docs/reference"

PAGES = reference.pages()


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_current(name: str) -> None:
    assert (COMMITTED / name).read_text() == PAGES[name], "run `make reference`"


def test_every_verb_has_exit_codes() -> None:
    for verb in VERBS:
        assert {0, 1, 2} <= exit_codes.of(verb).keys()


def test_only_verbs_have_exit_codes_of_their_own() -> None:
    assert exit_codes._OWN.keys() <= VERBS.keys()
