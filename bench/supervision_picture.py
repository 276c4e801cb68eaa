"""The table and the picture of ``supervision.py``."""

from __future__ import annotations

import json
import math
import os
import platform
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
COLOURS = ("#2a6f97", "#8ecae6", "#bc4749", "#e09f3e", "#6a4c93")
WIDTH, LEFT, BAR = 760, 230, 16

Results = dict[str, dict[str, tuple[float, int]]]


def write(results: Results, single: dict[str, float], file: Path | None) -> str:
    """Write ``docs/supervision.svg``, and the figures if wanted; the table as Markdown."""
    (DOCS / "supervision.svg").write_text(picture(results))
    if file is not None:
        file.write_text(json.dumps({"medians": results, "single": single, "machine": machine()}, indent=1))
    return table(results, single)


def machine() -> str:
    """A description of the machine."""
    return f"{os.cpu_count()} CPUs, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"


def table(results: Results, single: dict[str, float]) -> str:
    """Medians in milliseconds, and in brackets how many times the bare loop's."""
    names = list(results)
    measures = list(next(iter(results.values())))
    lines = [
        f"Measured on {machine()}; medians in milliseconds (rounds), and how many times the bare loop's.",
        "",
        "| | " + " | ".join(names) + " |",
        "| --- |" + " ---: |" * len(names),
    ]
    for measure in measures:
        bare = results["bare loop"][measure][0]
        cells = [_cell(results[name].get(measure), bare) for name in names]
        lines.append(f"| {measure} | " + " | ".join(cells) + " |")
    lines += ["", "| | |", "| --- | ---: |", *(f"| {name} | {_plain(value)} |" for name, value in single.items())]
    return "\n".join(lines) + "\n"


def _plain(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _cell(found: tuple[float, int] | None, bare: float) -> str:
    """A dash if the measurement does not apply."""
    if found is None:
        return "-"
    value, rounds = found
    return f"{value * 1000:.1f} ({rounds}), {value / bare:.2f} x"


def picture(results: Results) -> str:
    """Bars on a logarithmic scale from 1 ms to 100 s."""
    names = list(results)
    measures = list(next(iter(results.values())))
    measured = {measure: [name for name in names if measure in results[name]] for measure in measures}
    height = 50 + sum(len(those) * BAR + 18 for those in measured.values())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" '
        'font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]
    for number, name in enumerate(names):
        x = LEFT + number * 105
        parts.append(f'<rect x="{x}" y="8" width="12" height="12" fill="{COLOURS[number % len(COLOURS)]}"/>')
        parts.append(f'<text x="{x + 17}" y="18">{name}</text>')
    y = 36
    for measure in measures:
        parts.append(f'<text x="8" y="{y + len(measured[measure]) * BAR / 2 + 4}">{measure}</text>')
        for name in measured[measure]:
            value = results[name][measure][0] * 1000
            length = (WIDTH - LEFT - 90) * max(0.0, math.log10(max(value, 1))) / 5
            colour = COLOURS[names.index(name) % len(COLOURS)]
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 3}" fill="{colour}"/>')
            parts.append(f'<text x="{LEFT + length + 5:.1f}" y="{y + BAR - 5}">{value:.1f} ms</text>')
            y += BAR
        y += 18
    return "\n".join([*parts, "</svg>"]) + "\n"
