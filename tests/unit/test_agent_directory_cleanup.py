"""Directories of nodes that left the configuration: which are removed, when, and which must stay."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from zeekfleet.agent.directory_cleanup import GONE_SINCE, DirectoryCleanup, remove, set_aside
from zeekfleet.model.names import CONFIG_FILE, DAEMON_LOCK

KEEP = 100.0


def node(state: Path, name: str) -> Path:
    """Make a node's directory with a crash report, a core, and a symbolic link to a directory elsewhere."""
    directory = state / "nodes" / name
    (directory / "deep").mkdir(parents=True)
    (directory / CONFIG_FILE).touch()
    (directory / "deep" / "core").touch()
    (directory / "link").symlink_to(state / "precious")
    (state / "crashes" / name / "report").mkdir(parents=True)
    (state / "precious").mkdir(exist_ok=True)
    (state / "precious" / "file").touch()
    return directory


def look(state: Path, *spared: str, now: float) -> tuple[list[str], float]:
    outcome = set_aside(state, spared, KEEP, now)
    remove(state)
    return outcome


def test_a_directory_is_kept_for_its_time_then_removed_with_its_crash_reports(tmp_path: Path) -> None:
    directory = node(tmp_path, "w")
    assert look(tmp_path, "w", now=1000) == ([], 86400)
    assert not (directory / GONE_SINCE).exists()
    assert look(tmp_path, now=1000) == ([], KEEP)
    assert look(tmp_path, now=1099) == ([], 1)
    assert (tmp_path / "crashes" / "w").is_dir()
    assert look(tmp_path, now=1100) == (["w"], 86400)
    assert list((tmp_path / "nodes").iterdir()) == list((tmp_path / "crashes").iterdir()) == []
    assert (tmp_path / "precious" / "file").exists()


def test_a_node_that_comes_back_has_all_its_time_again(tmp_path: Path) -> None:
    directory = node(tmp_path, "w")
    look(tmp_path, now=1000)
    assert look(tmp_path, "w", now=2000) == ([], 86400)
    assert look(tmp_path, now=3000) == ([], KEEP)
    assert directory.is_dir()


def test_after_the_clock_was_set_back_the_time_starts_anew(tmp_path: Path) -> None:
    node(tmp_path, "w")
    look(tmp_path, now=5000)
    assert look(tmp_path, now=1000) == ([], KEEP)
    assert look(tmp_path, now=1050) == ([], 50)


def test_directories_that_are_not_nodes_stay(tmp_path: Path) -> None:
    (node(tmp_path, "agent") / DAEMON_LOCK).touch()
    (tmp_path / "nodes" / "somebodys").mkdir()
    (tmp_path / "nodes" / "file").touch()
    real = node(tmp_path / "elsewhere", "real")
    (tmp_path / "nodes" / "linked").symlink_to(real)
    before = sorted((tmp_path / "nodes").iterdir())
    for now in (1000, 9000):
        assert look(tmp_path, now=now) == ([], 86400)
    assert sorted((tmp_path / "nodes").iterdir()) == before
    assert not (real / GONE_SINCE).exists()


def test_a_directory_in_which_a_process_works_stays(tmp_path: Path) -> None:
    directory = node(tmp_path, "w")
    look(tmp_path, now=1000)
    command = (sys.executable, "-c", "print(flush=True); input()")
    with subprocess.Popen(
        command, cwd=directory / "deep", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert look(tmp_path, now=2000)[0] == []
        process.communicate("\n")
    assert look(tmp_path, now=2000)[0] == ["w"]


def test_a_symbolic_link_in_place_of_the_time_is_ignored(tmp_path: Path) -> None:
    directory = node(tmp_path, "w")
    (tmp_path / "old").write_text("1\n")
    (directory / GONE_SINCE).symlink_to(tmp_path / "old")
    assert look(tmp_path, now=1000) == ([], KEEP)
    assert (tmp_path / "old").read_text() == "1\n"


def test_directories_that_a_former_agent_renamed_are_removed(tmp_path: Path) -> None:
    directory = node(tmp_path, "w")
    directory.rename(tmp_path / "nodes" / ".removed-w-1")
    (tmp_path / "nodes" / ".removed-link").symlink_to(tmp_path / "precious")
    remove(tmp_path)
    assert [path.name for path in (tmp_path / "nodes").iterdir()] == [".removed-link"]
    assert (tmp_path / "precious" / "file").exists()


async def test_nothing_is_done_before_the_configuration_and_the_processes_are_known(tmp_path: Path) -> None:
    node(tmp_path, "w")
    node(tmp_path, "running")
    (tmp_path / "nodes" / "w" / GONE_SINCE).write_text("1\n")
    (tmp_path / "nodes" / "running" / GONE_SINCE).write_text("1\n")
    answers: list[set[str] | None] = [None, {"running"}]
    asked, told = asyncio.Event(), asyncio.Event()

    async def processes() -> set[str] | None:
        asked.set()
        return answers.pop(0)

    cleanup = DirectoryCleanup(tmp_path, KEEP, processes, asyncio.Lock, lambda _: told.set())
    task = asyncio.create_task(cleanup.run())
    cleanup.configured({"other"})
    await asked.wait()
    assert (tmp_path / "nodes" / "w").is_dir()
    cleanup.configured({"other"})
    await told.wait()
    task.cancel()
    assert not (tmp_path / "nodes" / "w").exists()
    assert (tmp_path / "nodes" / "running").is_dir()
