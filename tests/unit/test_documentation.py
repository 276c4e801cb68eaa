"""What the documentation refers to, and what refers to the documentation, is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from zeekfleet.broker.generations import FIRST, SECOND

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
SOURCES = sorted([*ROOT.glob("src/**/*.py"), *ROOT.glob("tests/**/*.py"), *ROOT.glob("bench/**/*.py")])

CITATION = re.compile(r"(docs/[\w/-]+\.md)(?:, sections? ((?:\d+(?:, | and )?)+))?")
"""``docs/protocol.md, section 8``, or ``docs/protocol.md, sections 6 and 9``."""

LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def sections_of(page: str) -> set[str]:
    """The numbers of a page's sections."""
    return set(re.findall(r"^## (\d+)\. ", (ROOT / page).read_text(), flags=re.MULTILINE))


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_what_sources_cite_is_there() -> None:
    cited = 0
    for source in SOURCES:
        for page, sections in CITATION.findall(re.sub(r"\s*\n\s*(?:#\s)?", " ", source.read_text())):
            cited += 1
            assert (ROOT / page).is_file(), f"{name_of(source)} cites {page}"
            missing = set(re.findall(r"\d+", sections)) - sections_of(page)
            assert not missing, f"{name_of(source)} cites {page}, section {sections}"
    assert cited


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for place, anchor in LINK.findall(page.read_text()):
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), place
        if anchor:
            assert anchor in anchors_of(target), f"{place}#{anchor}"


def test_every_event_stands_in_the_protocol() -> None:
    words = set(re.findall(r"\w+", (ROOT / "docs/protocol.md").read_text()))
    names = {name.rpartition("::")[2] for name in (*SECOND.events, *FIRST.events)}
    assert names
    assert names - words == set()
