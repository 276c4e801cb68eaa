"""What a running tree keeps to itself: its files, and the secrets that it was told."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet import SMALL_CLUSTER, Fleet, ini
from processes import processes_of

from support.waiting import until

SECRETS = {
    "DBURL": "postgres://u:planted-1@db/x",
    "SNMP_COMMUNITY": "planted-2",
    "API_TOKEN": "planted-3",
    "JAVA_OPTS": "-Ddb.password=planted-4",
}
"""Variables of a node, each with a secret."""

INHERITED = {"AWS_SECRET_ACCESS_KEY": "planted-5", "PROXY": "http://me:planted-6@proxy:3128"}
"""Variables that the daemon is started with."""

SETTINGS = """
[common]
log_level = "debug"
[archive]
command = "true --token planted-7 {queue}"
"""

CLIENT = """
[ssl]
passphrase = planted-8
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A tree that is started with an open umask, has run nodes, and has a crash report of one with secrets."""
    fleet = Fleet(tmp_path_factory.mktemp("f"))
    (fleet.root / "settings.toml").write_text(SETTINGS)
    (fleet.root / "client.cfg").write_text(CLIENT)
    mask = os.umask(0)
    try:
        fleet.start_up(environment=INHERITED, settings=fleet.root / "settings.toml", core_limit=2**30)
    finally:
        os.umask(mask)
    try:
        fleet.wait_for_instances("here")
        words = " ".join(f"{name}={value}" for name, value in SECRETS.items())
        cluster = {**SMALL_CLUSTER, "worker-1": {**SMALL_CLUSTER["worker-1"], "env": f'"{words}"'}}
        fleet.deploy(ini(["here"], cluster))
        os.kill(fleet.pids()["worker-1"], signal.SIGSEGV)
        until(lambda: list(state(fleet).glob("crashes/worker-1/2*")), "a crash report")
        fleet.wait_for_states("RUNNING", *SMALL_CLUSTER)
        yield fleet
    finally:
        fleet.stop()


def state(fleet: Fleet) -> Path:
    return fleet.root / "up"


def test_nobody_else_can_use_a_file(fleet: Fleet) -> None:
    seen = 0
    for top in (state(fleet), fleet.root / "up-spool", fleet.root / "logs"):
        for path in (top, *top.rglob("*")):
            found = path.lstat()
            seen += 1
            assert found.st_uid == os.geteuid(), path
            assert not stat.S_ISLNK(found.st_mode), path
            if path.name != "core":  # the kernel decides about cores, and takes no umask into account
                assert not found.st_mode & 0o077, f"{path} {stat.filemode(found.st_mode)}"
    assert seen > 50


def test_secrets_are_shown_nowhere(fleet: Fleet) -> None:
    pid = fleet.pids()["worker-1"]
    variables = Path(f"/proc/{pid}/environ").read_text()
    assert all(secret in variables for secret in (*SECRETS.values(), *INHERITED.values()))
    shown = {
        "the daemon's output": str(fleet.daemons[0].out),
        "the daemon's log": str(fleet.daemons[0].log),
        **{f"command line of {pid}": words for pid, words in processes_of(fleet.root).items()},
        **{str(file): file.read_text() for file in state(fleet).rglob("*") if is_log(file) or is_report(file)},
    }
    for words in (("diag", "worker-1"), ("--json", "diag", "worker-1"), ("check", "-"), ("status",), ("events",)):
        answer = fleet.zeekfleet(*words, text="[worker-1]\nrole = nonsense\n")
        shown[" ".join(words)] = answer.out + answer.err
    for words in (
        ("show-settings", "agent", "--settings", str(fleet.root / "settings.toml")),
        ("--configfile", str(fleet.root / "client.cfg"), "show-settings"),
        ("--configfile", str(fleet.root / "client.cfg"), "show-settings", "--origin"),
    ):
        answer = fleet.zeekfleet(*words)
        assert answer.code == 0, answer
        shown[" ".join(words)] = answer.out + answer.err
    assert "worker-1" in shown["diag worker-1"]
    assert sum(is_log(Path(name)) for name in shown) > 10
    assert sum(is_report(Path(name)) for name in shown) > 5
    assert [where for where, text in shown.items() if "planted" in text] == []


def is_log(file: Path) -> bool:
    return file.name in {"stdout", "stderr", "stem.stdout", "stem.stderr"} or file.suffix == ".log"


def is_report(file: Path) -> bool:
    return "crashes" in file.parts and file.is_file()
