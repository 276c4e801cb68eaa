"""The logs: Zeek's tab-separated form and JSON, for each role; stderr as text and JSON."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from zeekfleet.errors import StateDirectoryError
from zeekfleet.logs import handlers
from zeekfleet.model.enums import Role


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("test-of-logs")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger
    logger.handlers.clear()


def write(directory: Path, role: Role, form: Literal["tsv", "json"], *messages: str) -> list[str]:
    log = handlers.ManagementLog(directory, "some-name", role, form)
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


def test_surrogates_do_not_fail(tmp_path: Path, logger: logging.Logger) -> None:
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
    log = handlers.ManagementLog(tmp_path, "n", Role.AGENT)
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
        handlers.ManagementLog(tmp_path, "n", Role.AGENT)


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield root
    root.handlers, root.level = handlers, level


def test_stderr_as_json(root: logging.Logger) -> None:
    stream = io.StringIO()
    handlers.configure("json", "warning", stream)
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
    handlers.configure("text", "info", stream)
    logging.getLogger("some.module").info("told")
    (line,) = stream.getvalue().splitlines()
    assert "told" in line
    assert "info" in line
    assert "\x1b" not in line


def test_an_unexpected_error_is_logged_with_its_traceback(root: logging.Logger) -> None:
    stream = io.StringIO()
    handlers.configure("json", "info", stream)
    try:
        int("reason")
    except ValueError:
        logging.getLogger("some.module").exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["exception"]


def test_fields_stand_beside_the_sentence(root: logging.Logger, tmp_path: Path, logger: logging.Logger) -> None:
    facts = {"kind": "crash", "node": "w1", "pid": 17, "exit": "SIGKILL", "next_start": None}
    told = {"json": io.StringIO(), "text": io.StringIO()}
    for form, stream in told.items():
        handlers.configure(form, "info", stream)
        logging.getLogger("some.module").warning("node %s was killed", "w1", extra=facts | {"secret": "none of ours"})
    entry = json.loads(told["json"].getvalue())
    assert {key: entry[key] for key in facts} == facts
    assert "secret" not in entry
    assert told["text"].getvalue().rstrip().endswith("[some.module]")  # nothing after the sentence and its origin

    log = handlers.ManagementLog(tmp_path, "agent", Role.AGENT, "json")
    logger.addHandler(log)
    logger.warning("node w1 was killed", extra=facts)
    log.close()
    (line,) = (tmp_path / "management-agent.log").read_text().splitlines()
    assert json.loads(line)["fields"] == facts
    assert json.loads(line)["node"] == "agent"


def rotating(directory: Path, kept: int = 3) -> handlers.ManagementLog:
    return handlers.ManagementLog(directory, "n", Role.AGENT, "json", limit=4096, kept=kept)


def messages(directory: Path) -> list[str]:
    """Of all files, the oldest first."""
    files = sorted(directory.glob("management-n.log*"), key=lambda file: file.name, reverse=True)
    return [json.loads(line)["message"] for file in files for line in file.read_text().splitlines()]


def test_a_full_log_is_rotated_and_no_line_is_lost(tmp_path: Path, logger: logging.Logger) -> None:
    log = rotating(tmp_path)
    logger.addHandler(log)
    written = [f"line {number} {'x' * 100}" for number in range(80)]
    for message in written:
        logger.info("%s", message)
    log.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "management-n.log", "management-n.log.1", "management-n.log.2", "management-n.log.3",
    ]  # fmt: skip
    assert messages(tmp_path) == written
    assert all(file.stat().st_size < 4096 + 300 for file in tmp_path.iterdir())


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_no_more_files_are_kept_than_configured(tmp_path: Path, logger: logging.Logger, kept: int) -> None:
    for number in range(1, 6):
        (tmp_path / f"management-n.log.{number}").write_text("from a time when more were kept\n")
    log = rotating(tmp_path, kept)
    logger.addHandler(log)
    for number in range(100):
        logger.info("line %d %s", number, "x" * 100)
    log.close()
    assert len(list(tmp_path.iterdir())) == kept + 1
    assert messages(tmp_path)[-1].startswith("line 99 ")


def test_every_rotated_file_has_its_header(tmp_path: Path, logger: logging.Logger) -> None:
    log = handlers.ManagementLog(tmp_path, "n", Role.AGENT, limit=4096, kept=1)
    logger.addHandler(log)
    for number in range(200):
        logger.info("line %d", number)
    log.close()
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2
    assert all(file.read_text().startswith("#separator") for file in files)


@pytest.mark.parametrize("renames", range(4))
def test_a_rotation_that_ends_half_way_loses_nothing(
    tmp_path: Path, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    log = rotating(tmp_path)
    logger.addHandler(log)
    written = [f"line {number} {'x' * 100}" for number in range(100)]
    real, left = os.replace, iter(range(renames))

    def replace(source: str, target: str) -> None:
        if next(left, None) is None:
            raise OSError(errno.EIO, "as if the machine had stopped here")
        real(source, target)

    for message in written[:70]:
        logger.info("%s", message)
    monkeypatch.setattr(os, "replace", replace)
    for message in written[70:90]:
        logger.info("%s", message)
    log.close()  # and now another process begins
    logger.removeHandler(log)
    monkeypatch.undo()
    again = rotating(tmp_path)
    logger.addHandler(again)
    for message in written[90:]:
        logger.info("%s", message)
    again.close()
    found = messages(tmp_path)
    assert found == written[len(written) - len(found) :]
    assert len(found) >= 50


def test_a_log_that_was_moved_away_is_made_anew(tmp_path: Path, logger: logging.Logger) -> None:
    log = rotating(tmp_path)
    logger.addHandler(log)
    logger.info("one")
    log.reopen()  # nothing was moved: nothing happens
    logger.info("two")
    (tmp_path / "management-n.log").rename(tmp_path / "management-n.log.1")
    log.reopen()
    logger.info("three")
    log.close()
    assert messages(tmp_path) == ["one", "two", "three"]
    assert len((tmp_path / "management-n.log").read_text().splitlines()) == 1


def test_only_our_user_can_read_a_management_log(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        write(tmp_path, Role.AGENT, "tsv", "line")
    finally:
        os.umask(mask)
    assert (tmp_path / "management-some-name.log").stat().st_mode & 0o777 == 0o600


def test_a_management_log_does_not_follow_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("content\n")
    (tmp_path / "management-some-name.log").symlink_to("precious")
    with pytest.raises(StateDirectoryError, match="it is a symbolic link"):
        write(tmp_path, Role.AGENT, "tsv", "line")
    assert (tmp_path / "precious").read_text() == "content\n"
