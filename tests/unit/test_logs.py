"""The logs: Zeek's tab-separated form and JSON, for each role; stderr as text and JSON."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from zeekfleet import logs
from zeekfleet.errors import StateDirectoryError
from zeekfleet.model.enums import Role


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("test-of-logs")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger
    logger.handlers.clear()


def write(directory: Path, role: Role, form: Literal["tsv", "json"], *messages: str) -> list[str]:
    log = logs.ManagementLog(directory, "some-name", role, form)
    logger = logging.getLogger("test-of-logs")
    logger.addHandler(log)
    for message in messages:
        logger.info("%s", message)
    logger.removeHandler(log)
    log.close()
    return (directory / "management-some-name.log").read_text().splitlines()


def test_tsv_header_and_columns(tmp_path: Path, logger: logging.Logger) -> None:
    lines = write(tmp_path, Role.AGENT, "tsv", "hello")
    assert lines[0] == "#separator \\x09"
    assert lines[1:4] == ["#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-"]
    assert lines[4] == "#path\tmanagement-some-name"
    assert lines[5].startswith("#open\t")
    assert lines[6] == "#fields\tts\tnode\tlevel\trole\tmessage"
    assert lines[7] == "#types\ttime\tstring\tstring\tstring\tstring"
    time, *others = lines[8].split("\t")
    assert float(time) > 1e9
    assert others == ["some-name", "INFO", "AGENT", "hello"]
    assert len(lines) == 9


def test_header_once_only(tmp_path: Path, logger: logging.Logger) -> None:
    write(tmp_path, Role.CONTROLLER, "tsv", "first life")
    lines = write(tmp_path, Role.CONTROLLER, "tsv", "second life")
    assert sum(line.startswith("#fields") for line in lines) == 1
    assert [line.split("\t")[4] for line in lines if not line.startswith("#")] == ["first life", "second life"]


@pytest.mark.parametrize(
    ("message", "written"),
    [
        ("a\tb", "a\\x09b"),
        ("a\nb\r", "a\\x0ab\\x0d"),
        ("a\\b", "a\\\\b"),
        ("\\x09", "\\\\x09"),
        ("-", "\\x2d"),
        ("(empty)", "\\x28empty)"),
        ("", "(empty)"),
        ("\0", "\\x00"),
        ("schön \N{SNOWMAN}", "schön \N{SNOWMAN}"),
        ("#close", "#close"),
    ],
)
def test_tsv_escapes(tmp_path: Path, logger: logging.Logger, message: str, written: str) -> None:
    *_, line = write(tmp_path, Role.NODE, "tsv", message)
    assert line.split("\t")[4] == written
    assert len(line.split("\t")) == 5


def test_surrogates_are_written_somehow(tmp_path: Path, logger: logging.Logger) -> None:
    *_, line = write(tmp_path, Role.NODE, "tsv", "a\udcffb")
    assert line.split("\t")[4] == "a?b"


@pytest.mark.parametrize("role", [Role.AGENT, Role.CONTROLLER, Role.NODE])
def test_json_form(tmp_path: Path, logger: logging.Logger, role: Role) -> None:
    lines = write(tmp_path, role, "json", "tab\there", "line\nbreak")
    entries = [json.loads(line) for line in lines]
    assert [list(entry) for entry in entries] == [["ts", "node", "level", "role", "message"]] * 2
    assert [entry["message"] for entry in entries] == ["tab\there", "line\nbreak"]
    assert {entry["role"] for entry in entries} == {role.name}
    assert all(isinstance(entry["ts"], float) for entry in entries)


def test_levels(tmp_path: Path, logger: logging.Logger) -> None:
    log = logs.ManagementLog(tmp_path, "n", Role.AGENT)
    logger.addHandler(log)
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        logger.log(level, "x")
    logger.removeHandler(log)
    log.close()
    lines = (tmp_path / "management-n.log").read_text().splitlines()[8:]
    assert [line.split("\t")[2] for line in lines] == ["DEBUG", "INFO", "WARNING", "ERROR", "ERROR"]


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "management-n.log").mkdir()
    with pytest.raises(StateDirectoryError, match=r"management-n\.log: Is a directory"):
        logs.ManagementLog(tmp_path, "n", Role.AGENT)


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield root
    root.handlers, root.level = handlers, level


def test_stderr_as_json(root: logging.Logger) -> None:
    stream = io.StringIO()
    logs.configure("json", "warning", stream)
    logging.getLogger("some.module").info("not told")
    logging.getLogger("some.module").warning("told: %s", "a\nb", extra={"node": "w1"})
    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert (entry["event"], entry["level"], entry["logger"], entry["node"]) == (
        "told: a\nb", "warning", "some.module", "w1",
    )  # fmt: skip
    assert entry["timestamp"].endswith("Z")


def test_stderr_as_text(root: logging.Logger) -> None:
    stream = io.StringIO()
    logs.configure("text", "info", stream)
    logging.getLogger("some.module").info("told")
    (line,) = stream.getvalue().splitlines()
    assert "told" in line
    assert "info" in line
    assert "\x1b" not in line


def test_a_defect_is_told_with_its_traceback(root: logging.Logger) -> None:
    stream = io.StringIO()
    logs.configure("json", "info", stream)
    try:
        int("reason")
    except ValueError:
        logging.getLogger("some.module").exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["exception"]
