"""The README's commands, run as they stand there, in the order in which they stand there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import namespaces
import pytest
from processes import Lines

from support.waiting import PATIENCE, until

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()

DAEMONS = ("make up", "zeekfleet controller", "zeekfleet agent", "zeekfleet supervise")
"""Commands that stay in the foreground of a terminal of their own."""

DEPLOYED = "METRICS PORT"
"""The table of nodes, which ``make up`` prints last of all."""


class Block(NamedTuple):
    """A block of code, by the section that it stands in."""

    section: str
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        return [line.removeprefix("$ ") for line in self.text.splitlines() if line.startswith("$ ")]


def blocks() -> list[Block]:
    found = []
    for part in re.split(r"^## ", README, flags=re.MULTILINE)[1:]:
        section, _, body = part.partition("\n")
        for language, text in re.findall(r"^ *```(\w*)\n(.*?)^ *```$", body, flags=re.MULTILINE | re.DOTALL):
            found.append(Block(section, language, textwrap.dedent(text)))
    return found


LONG = {"Two hosts"}
SECTIONS = list(dict.fromkeys(block.section for block in blocks() if block.language))


class Daemon:
    """What runs in one terminal.

    Args:
        command: as it was typed.
        process: which runs it.
    """

    def __init__(self, command: str, process: subprocess.Popen[str]) -> None:
        self.command = command
        self._process = process
        assert process.stdout is not None
        self.said = Lines(process.stdout)

    def wait_until_ready(self) -> None:
        for word in ("ready: ", *([DEPLOYED] if self.command == "make up" else [])):
            assert self.said.wait_for(word), f"{self.command} never said {word!r}:\n{self.said}"

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.killpg(self._process.pid, signal.SIGINT)
        self._process.wait(PATIENCE)


class Terminals:
    """Terminals on one host, in a directory that is like a clone whose ``make up`` has installed everything.

    Args:
        directory: for the clone and all else.
        namespace: the process that keeps the host's network.
    """

    def __init__(self, directory: Path, namespace: int) -> None:
        self.clone = directory / "zeekfleet"
        self.daemons: list[Daemon] = []
        self._enter = ("nsenter", "-t", str(namespace), "-n", "--")
        self._directory = directory
        self._exported: list[str] = []
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("ZEEK", "MAKE"))}
        self._environment = {**clean, "HOME": str(directory), "ZEEKFLEET_ENGINE": "sim", **self._places(0)}
        self._token = ""
        _clone(self.clone)

    def run(self, command: str) -> str:
        """Type a command; what it prints. It must end well."""
        if command.startswith("export "):
            self._exported.append(command)
        command = command.replace("TOKEN", self._token)
        if command.startswith(DAEMONS):
            return self._start(command)
        done = subprocess.run(
            [*self._enter, "bash", "-c", "\n".join((*self._exported, command))],
            **self._manner(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        if found := re.search(r"--join (\S+)", done.stdout):
            self._token = found[1]
        return str(done.stdout)

    def _places(self, number: int) -> dict[str, str]:
        """The directories of a host."""
        host = self._directory / f"host-{number}"
        return {f"ZEEK_MANAGEMENT_{name}_DIR": str(host / name.lower()) for name in ("STATE", "SPOOL")}

    def _start(self, command: str) -> str:
        # Each daemon of the second part is on a host of its own, with directories of its own.
        manner = self._manner()
        manner["env"] = {**self._environment, **self._places(len(self.daemons))}
        # A terminal that `make up` is typed in knows nothing yet.
        words = [command] if command == "make up" else [*self._exported, f"exec {command}"]
        process = subprocess.Popen(
            [*self._enter, "bash", "-c", "\n".join(words)],
            **manner,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.daemons.append(Daemon(command, process))
        self.daemons[-1].wait_until_ready()
        return str(self.daemons[-1].said)

    def _manner(self) -> dict[str, object]:
        return {"cwd": self.clone, "env": self._environment, "stdin": subprocess.DEVNULL, "text": True}

    def close(self) -> None:
        """Press Ctrl-C in all terminals with daemons."""
        for daemon in reversed(self.daemons):
            daemon.interrupt()


def _clone(directory: Path) -> None:
    """Files that stay as they are are linked; the virtual environment is the one that runs this test."""
    directory.mkdir()
    for name in ("README.md", "Makefile", "pyproject.toml", "src", "examples"):
        (directory / name).symlink_to(ROOT / name)
    environment = directory / ".venv"
    environment.mkdir()
    for entry in Path(sys.prefix).iterdir():
        if not entry.name.startswith(".installed"):
            (environment / entry.name).symlink_to(entry)
    (environment / ".installed").touch()


@contextmanager
def host() -> Iterator[int]:
    """A host of its own that has the README's addresses; the process that keeps it."""
    if not namespaces.possible():
        pytest.skip("network namespaces need root")
    script = "ip link set lo up && ip address add 192.0.2.10/32 dev lo && echo up && exec cat"
    pipe = subprocess.PIPE
    with subprocess.Popen(["unshare", "-n", "sh", "-c", script], stdin=pipe, stdout=pipe, text=True) as keeper:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == "up\n"
        yield keeper.pid


@pytest.mark.parametrize(
    "section", [pytest.param(name, marks=[pytest.mark.long] if name in LONG else []) for name in SECTIONS]
)
def test_every_command_works_as_it_stands(section: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        terminals = Terminals(tmp_path, stack.enter_context(host()))
        stack.callback(terminals.close)
        if section != SECTIONS[0]:  # whoever reads on has that behind them
            terminals.run('export PATH="$PWD/.venv/bin:$PATH"')
        told = {}
        for block in (block for block in blocks() if block.section == section):
            if block.language == "python":
                told["python"] = terminals.run(f"python - <<'END'\n{block.text}END")
            for command in block.commands if block.language == "console" else ():
                told[command] = terminals.run(command)
        CHECKS[section](terminals, told)


def check_tour(terminals: Terminals, told: dict[str, str]) -> None:
    assert f'  export PATH="{terminals.clone}/.venv/bin:$PATH"\n' in told["make up"]
    assert "worker-01" in told["zeek-client get-nodes"]
    assert "96" in told["zeekfleet get-id-value bits_per_uid"]
    assert "worker-01  restarted" in told["zeekfleet restart worker-01"]
    assert "NodesSeen" in told["python"]
    deployed = told["zeekfleet deploy-config var/cluster.ini"]
    assert "worker-02" in deployed
    assert "deployed configuration" in deployed


def check_hosts(terminals: Terminals, _: dict[str, str]) -> None:
    until(lambda: "sensor-1" in terminals.run("zeekfleet get-instances"), "the agent has come")


def check_supervision(terminals: Terminals, _: dict[str, str]) -> None:
    (supervisor,) = terminals.daemons
    assert "supervising 2 nodes" in str(supervisor.said)


CHECKS = {"Five minutes": check_tour, "Two hosts": check_hosts, "Supervision alone": check_supervision}


def test_no_section_is_forgotten() -> None:
    assert CHECKS.keys() == set(SECTIONS)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`?make ([a-z-]+)", README))))
def test_what_make_is_asked_for_is_there(target: str) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "-n", "-C", ROOT, target], env=clean, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_a_clone_installs_what_running_needs_and_says_so(tmp_path: Path) -> None:
    """From the package index, or the cache of an earlier installation."""
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("README.md", "LICENSE", "Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, clone)
    for name in ("src", "examples"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", ".venv/.installed"], cwd=clone, env=clean, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Making a virtual environment in .venv")
    commands = {file.name for file in (clone / ".venv/bin").iterdir()}
    assert commands >= {"zeekfleet", "zeek-client"}
    assert not commands & {"pytest", "mypy", "ruff"}
    subprocess.run([clone / ".venv/bin/zeekfleet", "get-nodes", "--help"], check=True, stdout=subprocess.DEVNULL)
