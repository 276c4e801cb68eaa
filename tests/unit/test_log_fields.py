"""The facts of a log line are fields beside its sentence, so that programs need not parse sentences."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import zeekfleet
from zeekfleet.logs.handlers import FIELDS

PACKAGE = Path(zeekfleet.__file__).parent
LEVELS = ("info", "warning", "error", "exception", "log")
NAMED = {
    "node": re.compile(r"\bnodes? '?%[sr]"),
    "instance": re.compile(r"\binstance '?%[sr]"),
    "config": re.compile(r"\bconfiguration %s"),
    "reqid": re.compile(r"\bdeployment %s"),
}
REASONS = ("error", "reason")


def calls(tree: ast.AST) -> Iterator[tuple[int, str, list[ast.expr], set[str] | None]]:
    """Line, sentence, arguments and fields of each line that is written; the fields are None where they vary."""
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in LEVELS):
            continue
        if not (isinstance(call.func.value, ast.Name) and call.func.value.id == "logger"):
            continue
        told = call.args[1:] if call.func.attr == "log" else call.args
        if not told or not isinstance(told[0], ast.Constant):
            continue
        extra = next((word.value for word in call.keywords if word.arg == "extra"), None)
        fields: set[str] | None = set()
        if isinstance(extra, ast.Dict):
            fields = {str(key.value) for key in extra.keys if isinstance(key, ast.Constant)}
        elif extra is not None:
            fields = None
        yield call.lineno, str(told[0].value), told[1:], fields


def name_of(argument: ast.expr) -> str:
    """``error`` for ``error`` and for ``error.strerror``."""
    while isinstance(argument, ast.Attribute):
        argument = argument.value
    return argument.id if isinstance(argument, ast.Name) else ""


def test_the_subject_of_each_log_line_is_a_field() -> None:
    lacking = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for line, sentence, arguments, fields in calls(ast.parse(path.read_text())):
            if fields is None:
                continue
            wanted = {field for field, pattern in NAMED.items() if pattern.search(sentence)}
            wanted |= {"error"} if any(name_of(argument) in REASONS for argument in arguments) else set()
            lacking += [f"{path.relative_to(PACKAGE)}:{line}: {field}" for field in sorted(wanted - fields)]
            assert fields <= {*FIELDS}, f"{path}:{line}"
    assert not lacking, "\n".join(lacking)
