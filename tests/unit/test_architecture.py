"""No folder imports what the table in ARCHITECTURE.md does not allow, and no module imports itself through others."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "zeekfleet"
EVERYWHERE = {"errors", "version"}


def allowed_imports() -> dict[str, set[str]]:
    """The rows between the table's header and the next blank line: | part | may import |."""
    lines = (ROOT / "ARCHITECTURE.md").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| part | may import"))
    table: dict[str, set[str]] = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        part, imports, *_ = (cell.strip().strip("`") for cell in line.strip("|").split("|"))
        names = {name.strip().strip("`") for name in imports.split(",")} - {"none", ""}
        table[part] = names
    return table


TABLE = allowed_imports()


def part_of(module: str) -> str:
    """``zeekfleet.broker.values`` belongs to ``broker``."""
    return module.split(".")[1]


def imported_parts(file: Path) -> set[str]:
    found: set[str] = set()
    for item in ast.walk(ast.parse(file.read_text())):
        if isinstance(item, ast.Import):
            names = [alias.name for alias in item.names]
        elif isinstance(item, ast.ImportFrom):
            assert item.level == 0, f"{file}: imports are absolute"
            if item.module == "zeekfleet":
                names = [f"zeekfleet.{alias.name}" for alias in item.names]
            else:
                names = [item.module or ""]
        else:
            continue
        found |= {part_of(name) for name in names if name.startswith("zeekfleet.") and name != "zeekfleet.__version__"}
    return found


def files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(SOURCE)))
def test_imports_follow_the_table(file: Path) -> None:
    part = file.relative_to(SOURCE).parts[0].removesuffix(".py")
    if part in ("__init__", "__main__"):
        part = "cli"
    if TABLE[part] == {"everything"}:
        return
    forbidden = imported_parts(file) - TABLE[part] - EVERYWHERE - {part}
    assert not forbidden, f"{part} may not import {', '.join(sorted(forbidden))}"


@pytest.mark.parametrize("part", ["agent", "client", "controller", "node"])
def test_only_daemons_know_that_a_bus_is_made_of_connections(part: str) -> None:
    """Others take a bus and, if they dial, connections: so each works over a bus without any."""
    using = [file.name for file in (SOURCE / part).rglob("*.py") if "ConnectedBus" in file.read_text()]
    assert not using


def test_every_part_has_a_row() -> None:
    parts = {path.name.removesuffix(".py") for path in SOURCE.iterdir() if not path.name.startswith(("_", "."))}
    assert parts - {"py.typed"} == TABLE.keys()


def modules() -> dict[str, Path]:
    """All modules by name; a package is its ``__init__``."""
    names = {file: ".".join(file.relative_to(SOURCE.parent).with_suffix("").parts) for file in files()}
    return {name.removesuffix(".__init__"): file for file, name in names.items()}


def imported_modules(name: str, file: Path, known: dict[str, Path]) -> set[str]:
    """Also what is imported for types only, or within a function; not ``zeekfleet`` itself, which has the version."""
    found: set[str] = set()
    for item in ast.walk(ast.parse(file.read_text())):
        if isinstance(item, ast.Import):
            found |= {alias.name for alias in item.names}
        elif isinstance(item, ast.ImportFrom):
            for alias in item.names:
                module = f"{item.module}.{alias.name}"
                found.add(module if module in known else str(item.module))
    return (found & known.keys()) - {name}


def test_no_circle_of_imports() -> None:
    known = modules()
    try:
        TopologicalSorter({name: imported_modules(name, file, known) for name, file in known.items()}).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' - '.join(error.args[1])}")
