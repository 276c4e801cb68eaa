"""References in the documentation, and references to it, lead somewhere."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from zeekfleet.broker.generations import FIRST, SECOND
from zeekfleet.cli import supervise_file
from zeekfleet.cli.daemon_options import SECTIONS
from zeekfleet.cli.purposes import VERBS
from zeekfleet.cli.verbs import leaves, make_parser, subparsers_of
from zeekfleet.client.requests import Requests
from zeekfleet.logs.handlers import FIELDS
from zeekfleet.model.enums import State
from zeekfleet.planning.ini import parse_configuration
from zeekfleet.resolution import resolve

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
SOURCES = sorted([*ROOT.glob("src/**/*.py"), *ROOT.glob("tests/**/*.py"), *ROOT.glob("bench/**/*.py")])

CITATION = re.compile(r"(docs/[\w/-]+\.md)(?:, sections? ((?:\d+(?:, | and )?)+))?")
"""``docs/protocol.md, section 8``, or ``docs/protocol.md, sections 6 and 9``."""

LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")

OPTIONS = {
    option
    for verb in (make_parser(()), *subparsers_of(make_parser(VERBS)).values())
    for parser in (verb, *leaves(verb))
    for action in parser._actions
    for option in action.option_strings
}

FOREIGN_OPTIONS = {"--from", "--to"}
"""Of other programs, in examples."""

OF_THE_SYSTEM = {"Connection refused", "Address already in use"}
"""Parts of messages that are the operating system's."""


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


def test_cited_sections_exist() -> None:
    cited = 0
    for source in SOURCES:
        for page, sections in CITATION.findall(re.sub(r"\s*\n\s*(?:#\s)?", " ", source.read_text())):
            cited += 1
            assert (ROOT / page).is_file(), f"{name_of(source)} cites {page}"
            missing = set(re.findall(r"\d+", sections)) - sections_of(page)
            assert not missing, f"{name_of(source)} cites {page}, section {sections}"
    assert cited


def test_sources_cite_pages_by_name() -> None:
    vague = re.compile(r"(?<!docs/)protocol(?:\.md)?,? sections? \d|\(sections? \d", flags=re.IGNORECASE)
    assert [name_of(source) for source in SOURCES if vague.search(source.read_text())] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for place, anchor in LINK.findall(page.read_text()):
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), place
        if anchor:
            assert anchor in anchors_of(target), f"{place}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_that_are_named_exist(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(r"`zeekfleet ([a-z][a-z-]+)", text))
    named |= set(re.findall(r"^\s*\$ zeekfleet ([a-z-]+)", text, flags=re.MULTILINE))
    assert named <= VERBS.keys()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_that_are_named_exist(page: Path) -> None:
    """Options after a command of ours, and options that stand alone."""
    text = page.read_text()
    named = {option for one in re.findall(r"`zeekfleet ([^`\n]+)`", text) for option in re.findall(r"--[a-z-]+", one)}
    named |= set(re.findall(r"`(--[a-z]+(?:-[a-z]+)*)(?:[ =][^`]*)?`", text))
    assert named - OPTIONS - FOREIGN_OPTIONS == set()


def test_messages_of_troubleshooting_are_those_of_the_code() -> None:
    """Each heading quotes messages; ``…`` stands for what differs."""
    literals = [
        item.value
        for source in SOURCES
        if source.is_relative_to(ROOT / "src")
        for item in ast.walk(ast.parse(source.read_text()))
        if isinstance(item, ast.Constant) and isinstance(item.value, str)
    ]
    headings = re.findall(r"^### (.*)$", (ROOT / "docs/troubleshooting.md").read_text(), flags=re.MULTILINE)
    fragments = {
        fragment.strip(" :;,()'")
        for heading in headings
        for message in re.findall(r"`([^`]+)`", heading)
        for fragment in re.split("…|[:;,] ", message)
    }
    unknown = {text for text in fragments if text and not any(text in literal for literal in literals)}
    assert unknown - OF_THE_SYSTEM == set()


def blocks_of(language: str) -> list[tuple[str, str]]:
    """Code in the pages, each with its page's name."""
    pattern = re.compile(rf"^```{language}\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
    return [(name_of(page), text) for page in PAGES for text in pattern.findall(page.read_text())]


@pytest.mark.parametrize(("page", "text"), [(page, text) for page, text in blocks_of("ini") if "role =" in text])
def test_cluster_configurations_can_be_read(page: str, text: str) -> None:
    parsed = parse_configuration(text, source=page, hostname="box")
    assert parsed.configuration.nodes
    assert parsed.warnings == ()


@pytest.mark.parametrize(("page", "text"), blocks_of("toml"))
def test_files_in_toml_can_be_read(page: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "file.toml"
    file.write_text(text)
    if "[[node]]" in text:
        assert supervise_file.read(file).nodes
    else:
        assert any(not source.is_default for source in resolve(SECTIONS["agent"], {}, {}, file).sources.values())


@pytest.mark.parametrize(("page", "text"), blocks_of("python"))
def test_imports_in_programs_exist(page: str, text: str) -> None:
    imports = [item for item in ast.parse(text).body if isinstance(item, ast.Import | ast.ImportFrom)]
    exec(compile(ast.Module(imports, []), page, "exec"), {})


def test_paths_in_contributing_are_there() -> None:
    """Only paths with a slash are checked: below ``src/zeekfleet``, or below the repository's root."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    named = {path for path in re.findall(r"`([\w./-]+/[\w.-]*)`", text) if not path.startswith(".venv")}
    assert named
    assert {path for path in named if not any((ROOT / top / path).exists() for top in ("", "src/zeekfleet"))} == set()


def test_methods_for_programs_are_listed() -> None:
    page = (ROOT / "docs/python.md").read_text()
    listed = set(re.findall(r"`(\w+)`", page.partition("## Methods")[2].partition("\n## ")[0]))
    verbs = {name for name, method in inspect.getmembers(Requests, callable) if not name.startswith("_")}
    assert verbs - {"ask", "tell", "wait", "watching", "dispatch"} - listed == set()


def test_fields_of_log_lines_are_listed() -> None:
    listed = set(re.findall(r"`(\w+)`", (ROOT / "docs/reference/files.md").read_text()))
    assert set(FIELDS) - listed == set()


def test_every_state_stands_in_the_glossary() -> None:
    words = set(re.findall(r"[A-Z]+", (ROOT / "docs/glossary.md").read_text()))
    assert {state.name for state in State} - words == set()


def test_every_event_stands_in_the_protocol() -> None:
    words = set(re.findall(r"\w+", (ROOT / "docs/protocol.md").read_text()))
    names = {name.rpartition("::")[2] for name in (*SECOND.events, *FIRST.events)}
    assert names
    assert names - words == set()
